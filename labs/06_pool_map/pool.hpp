// A Pool as CPython's multiprocessing has it: eight ways to hand work to a fixed number of workers, which are processes
// or threads. The front is here, the engine in crew.hpp; where CPython has a trap, so has this one (struct Conduct),
// and sturdy_pool.hpp has the repair.
//
//               one task       all of an input, results together     results one by one
//   waits       apply          map, starmap                          imap, imap_unordered
//   returns     apply_async    map_async, starmap_async
#pragma once

#include <iterator>
#include <list>
#include <ranges>

#include "crew.hpp"
#include "stream.hpp"

namespace lab::pool {

/// Items a chunk when the caller does not say: four chunks a worker, so that a slow one is made up for by the others.
inline std::size_t default_chunk_size(std::size_t items, int workers) {
  const std::size_t share = 4 * static_cast<std::size_t>(workers);
  return (items + share - 1) / share;
}

/// Tasks are named (register_task) and R is what they return; None for void. Results that wait take a timeout; without
/// one they wait as long as it takes. All may be called from any thread.
class Pool {
 public:
  /// Starts the workers. Throws std::invalid_argument for options that make no sense; std::system_error when a worker
  /// cannot be started, after ending those that were.
  explicit Pool(Options options = {}) : Pool(std::move(options), std::make_unique<Conduct>()) {}
  /// terminate(), not close() and join(): leaving the scope ends what is still running.
  ~Pool() { stop_reading(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// One task in one worker; waits for it.
  template <class R, class... Args>
  R apply(const std::string& task, const Args&... args) {
    return apply_async<R>(task, std::tuple(args...)).get();
  }
  template <class R, class... Args>
  AsyncResult<R> apply_async(const std::string& task, const std::tuple<Args...>& args, Callbacks<R> callbacks = {}) {
    crew_.check_running();
    Encoder arguments;
    std::exception_ptr error = attempt([&] { put_each(arguments, args); });
    auto job = std::make_shared<ApplyJob<R>>(task, std::move(arguments.bytes), std::move(callbacks));
    if (error) {
      job->abandon(error);
    } else {
      crew_.enter(job);
      crew_.give(job, 0, 1);
    }
    return AsyncResult<R>(job);
  }

  /// task(item) for each item, in chunks; the results in the order of the items. An input without a length is read to
  /// its end first.
  template <class R, std::ranges::input_range Input>
  std::vector<R> map(const std::string& task, Input&& items, std::optional<std::ptrdiff_t> chunk_size = {}) {
    return map_async<R>(task, items, chunk_size).get();
  }
  template <class R, std::ranges::input_range Input>
  AsyncResult<std::vector<R>> map_async(const std::string& task, Input&& items,
                                        std::optional<std::ptrdiff_t> chunk_size = {},
                                        Callbacks<std::vector<R>> callbacks = {}) {
    return spread<R>(task, items, chunk_size, std::move(callbacks),
                     [](Encoder& out, const auto& item) { out.put(item); });
  }
  /// The same for items that are tuples of arguments: task(a, b).
  template <class R, std::ranges::input_range Input>
  std::vector<R> starmap(const std::string& task, Input&& items, std::optional<std::ptrdiff_t> chunk_size = {}) {
    return starmap_async<R>(task, items, chunk_size).get();
  }
  template <class R, std::ranges::input_range Input>
  AsyncResult<std::vector<R>> starmap_async(const std::string& task, Input&& items,
                                            std::optional<std::ptrdiff_t> chunk_size = {},
                                            Callbacks<std::vector<R>> callbacks = {}) {
    return spread<R>(task, items, chunk_size, std::move(callbacks),
                     [](Encoder& out, const auto& item) { put_each(out, item); });
  }

  /// Results one by one, in the order of the items. The input is a range, or a function that returns the next item,
  /// none at the end; a thread reads it to its end, whether or not anybody takes the results. The pool must outlive it.
  template <class R, class Input>
  Results<R> imap(const std::string& task, Input input, std::ptrdiff_t chunk_size = 1) {
    return trickle<R>(task, std::move(input), chunk_size, true);
  }
  /// The same in the order in which chunks come back.
  template <class R, class Input>
  Results<R> imap_unordered(const std::string& task, Input input, std::ptrdiff_t chunk_size = 1) {
    return trickle<R>(task, std::move(input), chunk_size, false);
  }

  /// No more work is taken; what was submitted is done.
  void close() { crew_.close(); }
  /// Ends the workers, whatever they are doing; a thread cannot be ended and finishes its task. Throws std::logic_error
  /// when the result handler has died.
  void terminate() { crew_.terminate(); }
  /// Waits until all is done after close() or terminate(); false when the time is over first.
  bool join(Timeout timeout = std::nullopt) { return crew_.join(timeout); }

  int size() const { return crew_.size(); }
  std::vector<pid_t> pids() const { return crew_.pids(); }  ///< of the workers as they are now

 protected:
  Pool(Options options, std::unique_ptr<Conduct> conduct) : crew_(std::move(options), std::move(conduct)) {}

 private:
  template <class Tuple>
  static void put_each(Encoder& out, const Tuple& args) {
    std::apply([&](const auto&... arg) { (out.put(arg), ...); }, args);
  }
  template <class Body>
  static std::exception_ptr attempt(Body body) {
    try {
      body();
    } catch (...) {
      return std::current_exception();
    }
    return nullptr;
  }

  template <class R, class Input, class Put>
  AsyncResult<std::vector<R>> spread(const std::string& task, Input& input, std::optional<std::ptrdiff_t> asked,
                                     Callbacks<std::vector<R>> callbacks, Put put) {
    crew_.check_running();
    if constexpr (!std::ranges::sized_range<Input>) {
      std::vector<std::ranges::range_value_t<Input>> all;
      for (auto&& item : input) all.push_back(item);
      return spread<R>(task, all, asked, std::move(callbacks), put);
    } else {
      const auto items = static_cast<std::size_t>(std::ranges::size(input));
      const std::size_t size = asked ? crew_.conduct().chunk_size(*asked) : default_chunk_size(items, crew_.size());
      Encoder arguments;
      std::vector<std::size_t> ends;  // of each chunk's arguments
      std::map<std::size_t, std::exception_ptr> refused;
      auto item = std::ranges::begin(input);
      for (std::size_t begin = 0; size > 0 && begin < items; begin += size) {
        const std::size_t before = arguments.bytes.size();
        std::size_t encoded = begin;
        const auto error = attempt([&] {
          for (; encoded < std::min(begin + size, items); ++encoded, ++item) put(arguments, *item);
        });
        if (error) {
          refused.emplace(ends.size(), error);
          arguments.bytes.resize(before);
          for (; encoded < std::min(begin + size, items); ++encoded) ++item;
        }
        ends.push_back(arguments.bytes.size());
      }
      const std::size_t chunks = ends.size();
      auto job = std::make_shared<MapJob<R>>(task, std::move(arguments.bytes), std::move(ends), items, size,
                                             std::move(callbacks));
      if (chunks == 0) {
        job->publish();  // without calling anybody back, as CPython does
        return AsyncResult<std::vector<R>>(job);
      }
      crew_.enter(job);
      std::size_t from = 0;
      for (const auto& [chunk, error] : refused) {
        if (job->accept(chunk, {.error = error})) crew_.leave(*job);
      }
      for (const auto& [chunk, error] : refused) crew_.give(job, std::exchange(from, chunk + 1), chunk);
      crew_.give(job, from, chunks);
      return AsyncResult<std::vector<R>>(job);
    }
  }

  template <class R, class Input>
  Results<R> trickle(const std::string& task, Input input, std::ptrdiff_t chunk_size, bool ordered) {
    if (chunk_size < 1) throw std::invalid_argument("the chunk size of imap must be at least 1");
    auto stream = std::make_shared<Stream<R>>(task, static_cast<std::size_t>(chunk_size), ordered);
    crew_.enter(stream);
    const std::lock_guard lock(readers_mutex_);
    std::erase_if(readers_, [](const Reader& reader) { return reader.done->load(); });
    const auto done = std::make_shared<std::atomic<bool>>(false);
    std::jthread thread([this, stream, done, input = std::move(input)]() mutable {
      if constexpr (std::is_invocable_v<Input&>) {
        read(*stream, stream, input);
      } else {
        auto at = std::ranges::begin(input);
        read(*stream, stream, [&] { return at == std::ranges::end(input) ? std::nullopt : std::optional(*at++); });
      }
      done->store(true);
    });
    readers_.push_back({std::move(thread), done});
    return Results<R>(stream);
  }

  // The reader of one imap's input. An error of the input takes the place of the chunk it was to be part of.
  template <class R, class Next>
  void read(Stream<R>& stream, const std::shared_ptr<Job>& job, Next&& next) {
    std::exception_ptr broken;
    for (bool more = true; more && !broken;) {
      Encoder arguments;
      std::exception_ptr refused;
      std::size_t items = 0;
      broken = attempt([&] {
        for (; items < stream.size(); ++items) {
          const auto item = next();
          if (!(more = item.has_value())) break;
          if (!refused) refused = attempt([&] { arguments.put(*item); });
        }
      });
      if (broken || items == 0) break;
      const auto chunk = stream.add(std::move(arguments.bytes), items, crew_.conduct().read_ahead());
      if (!chunk) return;
      if (refused) {
        stream.accept(*chunk, {.error = refused});
      } else {
        crew_.give(job, *chunk, *chunk + 1);
      }
    }
    if (stream.end(broken)) crew_.leave(stream);
  }
  void stop_reading();

  struct Reader {
    std::jthread thread;
    std::shared_ptr<std::atomic<bool>> done;
  };
  Crew crew_;
  std::mutex readers_mutex_;
  std::list<Reader> readers_;
};

}  // namespace lab::pool
