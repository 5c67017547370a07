// What a call leaves in the parent: a job that gathers its chunks' replies, and the handle through which its caller
// waits.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "task.hpp"

namespace lab::pool {

/// get() or next() did not have the result in time; nothing is lost, ask again. The package's own error, as in CPython.
struct TimeoutError : std::runtime_error {
  TimeoutError() : std::runtime_error("no result within the timeout") {}
};

using Timeout = std::optional<std::chrono::nanoseconds>;  ///< none: wait as long as it takes

/// What a chunk came back with: its results, encoded one after another, or the error of the task that failed.
struct Outcome {
  std::string_view values;
  std::exception_ptr error;
};

/// A callback threw; what it threw is nested. By then the answer itself is known.
struct CallbackError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One call: its tasks in chunks, and what came back. Chunks are given out and accepted by number, from 0.
class Job {
 public:
  Job(std::string function) : task(std::move(function)) {}
  virtual ~Job() = default;

  struct Chunk {
    std::string_view arguments;  ///< encoded, those of all its items
    std::size_t first = 0, items = 0;
  };
  virtual Chunk chunk(std::size_t number) const = 0;
  /// Takes in what a chunk came back with; true once the job is complete. In the result-handler thread. Throws
  /// MessageError for bytes that are no such results (the chunk is then still missing) and CallbackError.
  virtual bool accept(std::size_t number, const Outcome& outcome) = 0;
  /// Makes it ready as it is, without calling anybody back.
  virtual void publish() = 0;
  /// Puts this error wherever something is missing and completes the job. Throws CallbackError.
  virtual void abandon(const std::exception_ptr& error) = 0;
  /// No more chunks will be given out: what reads an input for it stops.
  virtual void stop() {}

  const std::string task;
  std::uint64_t id = 0;

 protected:
  template <class Condition>
  bool wait_until(std::unique_lock<std::mutex>& lock, Timeout timeout, Condition ready) const {
    if (timeout) return changed_.wait_for(lock, *timeout, ready);
    changed_.wait(lock, ready);
    return true;
  }
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
};

template <class V>
struct Callbacks {
  /// One of them runs, once, in the result-handler thread before ready() becomes true: a slow one holds up all results.
  std::function<void(const V&)> callback;
  std::function<void(std::exception_ptr)> error_callback;
};

/// A job with one answer of type V: of apply a value, of map a vector.
template <class V>
class Answer : public Job {
 public:
  Answer(std::string function, Callbacks<V> callbacks) : Job(std::move(function)), callbacks_(std::move(callbacks)) {}

  bool ready(Timeout timeout) const {
    std::unique_lock lock(mutex_);
    return wait_until(lock, timeout, [&] { return ready_; });
  }
  bool failed() const { return error_ != nullptr; }  // once it is ready
  V get(Timeout timeout) const {
    if (!ready(timeout)) throw TimeoutError();
    if (error_) std::rethrow_exception(error_);
    return value_;
  }
  void publish() override {
    const std::lock_guard lock(mutex_);
    ready_ = true;
    changed_.notify_all();
  }
  void abandon(const std::exception_ptr& error) override {
    if (!error_) error_ = error;
    complete();
  }

 protected:
  void complete() {
    try {
      const Callbacks<V> once = std::exchange(callbacks_, {});
      if (error_ && once.error_callback) once.error_callback(error_);
      if (!error_ && once.callback) once.callback(value_);
    } catch (...) {
      std::throw_with_nested(
          CallbackError("a callback of " + task + " threw: " + sentence_of(std::current_exception())));
    }
    publish();
  }

  V value_{};
  std::exception_ptr error_;

 private:
  Callbacks<V> callbacks_;
  bool ready_ = false;
};

template <class R>
class ApplyJob : public Answer<R> {
 public:
  ApplyJob(std::string function, std::string arguments, Callbacks<R> callbacks)
      : Answer<R>(std::move(function), std::move(callbacks)), arguments_(std::move(arguments)) {}
  Job::Chunk chunk(std::size_t) const override { return {arguments_, 0, 1}; }
  bool accept(std::size_t, const Outcome& outcome) override {
    if (outcome.error) return this->abandon(outcome.error), true;
    this->value_ = decode<R>(outcome.values);
    this->complete();
    return true;
  }

 private:
  std::string arguments_;
};

template <class R>
class MapJob : public Answer<std::vector<R>> {
 public:
  /// `ends[i]` is where the arguments of chunk i end.
  MapJob(std::string function, std::string arguments, std::vector<std::size_t> ends, std::size_t items,
         std::size_t size, Callbacks<std::vector<R>> callbacks)
      : Answer<std::vector<R>>(std::move(function), std::move(callbacks)),
        arguments_(std::move(arguments)),
        ends_(std::move(ends)),
        size_(size),
        missing_(ends_.size()) {
    this->value_.resize(items);
  }
  Job::Chunk chunk(std::size_t number) const override {
    const std::size_t begin = number == 0 ? 0 : ends_[number - 1];
    return {std::string_view(arguments_).substr(begin, ends_[number] - begin), number * size_, items_of(number)};
  }
  // Complete only when every chunk has reported, even after a failure; the failure that arrived first is the one that
  // is told.
  bool accept(std::size_t number, const Outcome& outcome) override {
    if (outcome.error) {
      if (!this->error_) this->error_ = outcome.error;
    } else {
      Decoder in(outcome.values);
      for (std::size_t i = 0; i < items_of(number); ++i) this->value_[number * size_ + i] = in.template get<R>();
      in.finish();
    }
    if (--missing_ > 0) return false;
    this->complete();
    return true;
  }

 private:
  std::size_t items_of(std::size_t number) const { return std::min(size_, this->value_.size() - number * size_); }
  std::string arguments_;
  std::vector<std::size_t> ends_;
  std::size_t size_, missing_;
};

/// The handle of an asynchronous call. May be copied, and dropped before the answer is there.
template <class V>
class AsyncResult {
 public:
  explicit AsyncResult(std::shared_ptr<Answer<V>> answer) : answer_(std::move(answer)) {}
  /// The value, or throws the task's error; TimeoutError when it is not there in time.
  V get(Timeout timeout = std::nullopt) const { return answer_->get(timeout); }
  /// Returns when the answer is there or the time is over, never throws: ask ready().
  void wait(Timeout timeout = std::nullopt) const { answer_->ready(timeout); }
  bool ready() const { return answer_->ready(std::chrono::nanoseconds(0)); }
  /// Whether it ended without an error. Throws std::logic_error while it is not ready.
  bool successful() const {
    if (!ready()) throw std::logic_error("successful() is asked of a result that is not ready");
    return !answer_->failed();
  }

 private:
  std::shared_ptr<Answer<V>> answer_;
};

}  // namespace lab::pool
