#include "common/multiprocessing/manager/referent.hpp"

#include <poll.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "common/multiprocessing/queue/queue.hpp"

namespace lab::manager {

bool Caller::gone() const {
  pollfd entry{socket, POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) > 0;
}

namespace {

[[noreturn]] void refuse(Type type, Method method) {
  throw RemoteError("a " + to_string(type) + " has no " + to_string(method));
}

// Argument number `at`, of the type wanted.
template <class T = Object>
T& argument(Items& arguments, std::size_t at, const char* what) {
  if (at >= arguments.size()) throw TypeError(std::string(what) + " is missing");
  if constexpr (std::is_same_v<T, Object>) {
    return arguments[at];
  } else {
    return as<T>(arguments[at], what);
  }
}

Deadline deadline_of(Items& arguments, std::size_t at) {
  if (at >= arguments.size() || std::holds_alternative<None>(arguments[at])) return Deadline::max();
  return Timeout(std::chrono::duration<double>(argument<double>(arguments, at, "the timeout"))).deadline();
}

class ValueReferent : public Referent {
 public:
  explicit ValueReferent(Object& initial) { value_.swap(initial); }
  Object call(Method method, Items& arguments, const Caller&) override {
    const std::lock_guard lock(mutex_);
    if (method == Method::get) return value_;
    if (method != Method::set) refuse(Type::value, method);
    std::swap(value_, argument(arguments, 0, "the value"));
    return {};
  }
  void clear() override {
    Items none(1);
    call(Method::set, none, {});
  }

 private:
  std::mutex mutex_;
  Object value_;
};

class ListReferent : public Referent {
 public:
  explicit ListReferent(Items items) : items_(std::move(items)) {}
  Object call(Method method, Items& arguments, const Caller&) override {
    const std::lock_guard lock(mutex_);
    switch (method) {
      case Method::size:
        return static_cast<std::int64_t>(items_.size());
      case Method::copy:
        return items_;
      case Method::clear:
        items_.clear();
        return {};
      case Method::append:
        items_.push_back(std::move(argument(arguments, 0, "the item")));
        return {};
      case Method::insert: {  // like Python's, it takes any index for the nearest there is
        const auto size = static_cast<std::int64_t>(items_.size());
        std::int64_t at = argument<std::int64_t>(arguments, 0, "the index");
        at = std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size);
        items_.insert(items_.begin() + at, std::move(argument(arguments, 1, "the item")));
        return {};
      }
      case Method::get:
        return items_[index(arguments)];
      case Method::set:
        std::swap(items_[index(arguments)], argument(arguments, 1, "the item"));
        return {};
      case Method::pop:
      case Method::remove: {
        const auto at = items_.begin() + static_cast<std::ptrdiff_t>(index(arguments));
        Object item = std::move(*at);
        items_.erase(at);
        return method == Method::pop ? std::move(item) : Object{};
      }
      default:
        refuse(Type::list, method);
    }
  }
  void clear() override {
    Items all;
    const std::lock_guard lock(mutex_);
    all.swap(items_);
  }

 private:
  std::size_t index(Items& arguments) const {
    const std::int64_t at = argument<std::int64_t>(arguments, 0, "the index"),
                       size = static_cast<std::int64_t>(items_.size());
    if (at < -size || at >= size)
      throw IndexError("index " + std::to_string(at) + " of a list of " + std::to_string(size) + " items");
    return static_cast<std::size_t>(at < 0 ? at + size : at);
  }
  std::mutex mutex_;
  Items items_;
};

// A dict; and a Namespace, which is one with less to offer and words of its own for what is not there.
class EntriesReferent : public Referent {
 public:
  EntriesReferent(Type type, Entries entries) : type_(type), entries_(std::move(entries)) {}
  Object call(Method method, Items& arguments, const Caller&) override {
    const bool dict = type_ == Type::dict;
    const std::lock_guard lock(mutex_);
    if (method == Method::copy) return entries_;
    if (dict && method == Method::size) return static_cast<std::int64_t>(entries_.size());
    if (dict && method == Method::clear) return entries_.clear(), Object{};
    if (dict && method == Method::keys) {
      Items keys;
      for (const auto& [key, entry] : entries_) keys.push_back(key);
      return keys;
    }
    const std::string& key = argument<std::string>(arguments, 0, dict ? "the key" : "an attribute's name");
    const auto found = entries_.find(key);
    if (dict && method == Method::contains) return found != entries_.end();
    if (method == Method::set) {
      std::swap(entries_[key], argument(arguments, 1, "the value"));
      return {};
    }
    if (method != Method::get && method != Method::remove && !(dict && method == Method::pop)) refuse(type_, method);
    if (found == entries_.end()) {
      if (dict) throw KeyError("the dict has no key " + key);
      throw AttributeError("the Namespace has no attribute " + key);
    }
    if (method == Method::get) return found->second;
    Object entry = std::move(found->second);
    entries_.erase(found);
    return method == Method::pop ? std::move(entry) : Object{};
  }
  void clear() override {
    Entries all;
    const std::lock_guard lock(mutex_);
    all.swap(entries_);
  }

 private:
  const Type type_;
  std::mutex mutex_;
  Entries entries_;
};

// What a call can wait for. A waiting thread looks now and then whether its client still lives: a dead one would keep it,
// and a connection, for good.
class Waiting : public Referent {
 protected:
  template <class Ready>
  bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Deadline deadline,
            const Caller& caller, const Ready& ready) {
    while (!ready()) {
      const Deadline now = Clock::now();
      if (now >= deadline) return false;
      if (caller.gone()) throw CallerGone();
      changed.wait_until(lock, std::min(deadline, now + std::chrono::milliseconds(250)));
    }
    return true;
  }
  std::mutex mutex_;
};

// Python's Lock: whoever likes may release it. Its holder is remembered for one reason: a process that ends while it
// holds the lock has released it, and whoever waits, or comes next, is told so.
class LockReferent : public Waiting {
 public:
  Object call(Method method, Items& arguments, const Caller& caller) override {
    std::unique_lock lock(mutex_);
    if (method == Method::locked) return holder_.has_value();
    if (method == Method::release) {
      if (!holder_) throw ValueError("release of a lock that nobody holds");
      free_it();
      return {};
    }
    if (method != Method::acquire) refuse(Type::lock, method);
    const Deadline deadline = deadline_of(arguments, 0);
    const std::uint64_t deaths = deaths_ - std::exchange(untold_, 0);
    const Counted counted(waiting_);
    if (!wait(lock, freed_, deadline, caller, [&] { return deaths_ != deaths || !holder_; })) return false;
    if (deaths_ != deaths) throw HolderDied("a process ended while it held this lock; it is free again");
    holder_ = caller.process;
    return true;
  }
  void undelivered(Method method, Object&& result) override {
    const std::lock_guard lock(mutex_);
    if (const bool* acquired = std::get_if<bool>(&result); method == Method::acquire && acquired && *acquired)
      free_it();
  }
  void process_ended(std::uint64_t process) override {
    const std::lock_guard lock(mutex_);
    if (holder_ != process) return;
    ++deaths_;
    untold_ = waiting_ == 0;
    holder_.reset();
    freed_.notify_all();
  }

 private:
  struct Counted {
    explicit Counted(int& counter) : count(++counter) {}
    ~Counted() { --count; }
    int& count;
  };
  void free_it() {
    holder_.reset();
    freed_.notify_one();
  }
  std::condition_variable freed_;
  std::optional<std::uint64_t> holder_;
  std::uint64_t deaths_ = 0, untold_ = 0;  // holders that died; 1: nobody waited to be told of the last
  int waiting_ = 0;
};

class QueueReferent : public Waiting {
 public:
  explicit QueueReferent(std::int64_t most) : most_(most > 0 ? static_cast<std::size_t>(most) : SIZE_MAX) {}
  Object call(Method method, Items& arguments, const Caller& caller) override {
    std::unique_lock lock(mutex_);
    if (method == Method::size) return static_cast<std::int64_t>(items_.size());
    if (method == Method::put) {
      Object& item = argument(arguments, 0, "the item");
      if (!wait(lock, taken_, deadline_of(arguments, 1), caller, [&] { return items_.size() < most_; }))
        throw queue::Full("the manager's Queue stayed full: it holds " + std::to_string(most_) + " items");
      items_.push_back(std::move(item));
      put_.notify_one();
      return {};
    }
    if (method != Method::get) refuse(Type::queue, method);
    if (!wait(lock, put_, deadline_of(arguments, 0), caller, [&] { return !items_.empty(); }))
      throw queue::Empty("no item came into the manager's Queue in time");
    Object item = std::move(items_.front());
    items_.pop_front();
    taken_.notify_one();
    return item;
  }
  void undelivered(Method method, Object&& result) override {
    if (method != Method::get) return;
    const std::lock_guard lock(mutex_);
    items_.push_front(std::move(result));
    put_.notify_one();
  }
  void clear() override {
    std::deque<Object> all;
    const std::lock_guard lock(mutex_);
    all.swap(items_);
  }

 private:
  const std::size_t most_;
  std::condition_variable put_, taken_;
  std::deque<Object> items_;
};

}  // namespace

std::pair<Type, std::unique_ptr<Referent>> make_referent(Items& arguments) {
  const std::int64_t number = argument<std::int64_t>(arguments, 0, "the type");
  const auto type = static_cast<Type>(number);
  if (number != static_cast<std::int64_t>(type))
    throw RemoteError("a manager makes nothing of type " + std::to_string(number));
  Object none, &content = arguments.size() > 1 ? arguments[1] : none;
  const bool given = arguments.size() > 1;
  switch (type) {
    case Type::value:
      return {type, std::make_unique<ValueReferent>(content)};
    case Type::list:
      return {type, std::make_unique<ListReferent>(given ? as<Items>(content, "a list's content") : Items{})};
    case Type::name_space:
      return {type, std::make_unique<EntriesReferent>(type, Entries{})};
    case Type::dict:
      return {type,
              std::make_unique<EntriesReferent>(type, given ? as<Entries>(content, "a dict's content") : Entries{})};
    case Type::lock:
      return {type, std::make_unique<LockReferent>()};
    case Type::queue:
      return {type, std::make_unique<QueueReferent>(given ? as<std::int64_t>(content, "a Queue's size") : 0)};
  }
  throw RemoteError("a manager makes nothing of " + to_string(type));
}

}  // namespace lab::manager
