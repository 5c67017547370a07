// What imap returns: results one by one while later tasks still run.
#pragma once

#include <algorithm>
#include <iterator>

#include "job.hpp"
#include "task.hpp"

namespace lab::pool {

/// An imap: a job whose input is read by a thread of its own while its results are already taken.
template <class R>
class Stream : public Job {
 public:
  Stream(std::string function, std::size_t size, bool ordered)
      : Job(std::move(function)), size_(size), ordered_(ordered) {}

  struct Part {
    std::vector<R> values;
    std::exception_ptr error;
  };

  // The reader's side. add() gives the chunk's number, after waiting while `ahead` chunks have been read that nobody has
  // taken; none when nobody wants it any more.
  std::optional<std::size_t> add(std::string arguments, std::size_t items, std::size_t ahead) {
    std::unique_lock lock(mutex_);
    const auto room = [&] { return added_ - taken_ < ahead || (read_on_ && !dropped_); };
    wait_until(lock, std::nullopt, [&] { return stopped_ || dropped_ || room(); });
    if (stopped_ || !room()) return std::nullopt;
    chunks_.emplace(added_, Waiting{std::move(arguments), items});
    return added_++;
  }
  /// The input has ended, by itself or by an error, which takes the next place. True when that completes the job.
  bool end(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (error && !stopped_) park(added_++, {{}, error});
    total_ = added_;
    changed_.notify_all();
    return arrived_ == total_;
  }
  bool stopped() const {
    const std::lock_guard lock(mutex_);
    return stopped_;
  }
  void stop() override { raise(stopped_); }
  void read_on() override { raise(read_on_); }
  /// Nobody holds its Results any more.
  void drop() { raise(dropped_); }

  Chunk chunk(std::size_t number) const override {
    const std::lock_guard lock(mutex_);
    const Waiting& waiting = chunks_.at(number);
    return {waiting.arguments, number * size_, waiting.items};
  }
  bool accept(std::size_t number, const Outcome& outcome) override {
    Part part{{}, outcome.error};
    const std::lock_guard lock(mutex_);
    if (!part.error) {
      Decoder in(outcome.values);
      for (std::size_t i = 0; i < chunks_.at(number).items; ++i) part.values.push_back(in.template get<R>());
      in.finish();
    }
    chunks_.erase(number);
    park(number, std::move(part));
    return arrived_ == total_;
  }
  void publish() override {}  // it has no callbacks
  void abandon(const std::exception_ptr& error) override {
    const std::lock_guard lock(mutex_);
    abandoned_ = error;
    stopped_ = true;
    changed_.notify_all();
  }

  /// The next part in order (of input, or of arrival); none at the end. Throws TimeoutError.
  std::optional<Part> take(Timeout timeout) {
    std::unique_lock lock(mutex_);
    if (!wait_until(lock, timeout, [&] { return parked_.contains(taken_) || taken_ == total_ || abandoned_; }))
      throw TimeoutError();
    const auto found = parked_.find(taken_);
    if (found == parked_.end()) {
      if (taken_ == total_) return std::nullopt;
      total_ = taken_;  // the error once, then the end
      return Part{{}, abandoned_};
    }
    Part part = std::move(found->second);
    parked_.erase(found);
    ++taken_;
    changed_.notify_all();  // the reader may be waiting for room
    return part;
  }
  std::size_t size() const { return size_; }

 private:
  struct Waiting {
    std::string arguments;
    std::size_t items;
  };
  void raise(bool& flag) {
    const std::lock_guard lock(mutex_);
    flag = true;
    changed_.notify_all();
  }
  // Under one key or the other the next part is always parked_[taken_].
  void park(std::size_t number, Part part) {
    parked_.emplace(ordered_ ? number : arrived_, std::move(part));
    ++arrived_;
    changed_.notify_all();
  }

  const std::size_t size_;
  const bool ordered_;
  std::map<std::size_t, Waiting> chunks_;  // not yet answered
  std::map<std::size_t, Part> parked_;     // answered, not yet taken
  std::size_t added_ = 0, arrived_ = 0, taken_ = 0;
  std::optional<std::size_t> total_;  // known once the input has ended
  std::exception_ptr abandoned_;
  bool stopped_ = false, read_on_ = false, dropped_ = false;
};

/// The results of imap or imap_unordered, for one thread at a time: call next(), or loop over it once.
template <class R>
class Results {
 public:
  explicit Results(const std::shared_ptr<Stream<R>>& stream)
      : stream_(stream.get(), [stream](Stream<R>* dropped) { dropped->drop(); }) {}

  /// The next result; none at the end. Throws the error of the task whose turn it is: with chunks of 1 one may go on
  /// after it; with larger ones it is the end, and the good items of that chunk are lost, as in CPython. Throws
  /// TimeoutError, after which nothing is lost; a timeout with larger chunks is refused (std::logic_error).
  std::optional<R> next(Timeout timeout = std::nullopt) {
    if (timeout && stream_->size() > 1) throw std::logic_error("next() has a timeout only with a chunk size of 1");
    while (at_ == part_.size()) {
      if (dead_) return std::nullopt;
      auto part = stream_->take(timeout);
      if (!part) return std::nullopt;
      if (part->error) {
        dead_ = stream_->size() > 1;
        std::rethrow_exception(part->error);
      }
      part_ = std::move(part->values);
      at_ = 0;
    }
    return std::move(part_[at_++]);
  }

  class Iterator {
   public:
    using value_type = R;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(Results* results = nullptr) : results_(results) { ++*this; }
    const R& operator*() const { return *value_; }
    Iterator& operator++() {
      if (results_) value_ = results_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !value_; }

   private:
    Results* results_;
    std::optional<R> value_;
  };
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  std::shared_ptr<Stream<R>> stream_;
  std::vector<R> part_;
  std::size_t at_ = 0;
  bool dead_ = false;
};

}  // namespace lab::pool
