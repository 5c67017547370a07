// The answer of a call that gives its results together, and the handle through which its caller waits for it.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "chunks.hpp"
#include "job.hpp"
#include "task.hpp"

namespace lab::pool {

template <class V>
struct Callbacks {
  /// One of them runs, once, in the result-handler thread before ready() becomes true: a slow one holds up all results,
  /// and one that waits for a result would wait for itself (std::logic_error). It may submit.
  std::function<void(const V&)> callback;
  std::function<void(std::exception_ptr)> error_callback;
};

/// A job with one answer of type V: of apply a value, of map a vector.
template <class V>
class Answer : public Job {
 public:
  Answer(std::string function, Chunks chunks, Callbacks<V> callbacks)
      : Job(std::move(function)),
        chunks_(std::move(chunks)),
        missing_(chunks_.count()),
        callbacks_(std::move(callbacks)) {}

  Chunk chunk(std::size_t number) const override { return chunks_.chunk(number); }
  // Complete only when every chunk has reported, even after a failure; the failure that arrived first is the one that
  // is told.
  bool accept(std::size_t number, const Outcome& outcome) override {
    if (outcome.error) {
      if (!error_) error_ = outcome.error;
    } else {
      Decoder in(outcome.values);
      take(in, chunks_.chunk(number));
      in.finish();
    }
    if (--missing_ > 0) return false;
    complete();
    return true;
  }
  bool ready(const Timeout& timeout) const {
    auto held = lock();
    return wait_until(held, timeout, [&] { return ready_; });
  }
  bool failed() const { return error_ != nullptr; }  // once it is ready
  V get(const Timeout& timeout) const {
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
  virtual void take(Decoder& in, const Chunk& chunk) = 0;  ///< A chunk's results. Throws MessageError.
  V value_{};
  const Chunks chunks_;

 private:
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

  std::size_t missing_;
  std::exception_ptr error_;
  Callbacks<V> callbacks_;
  bool ready_ = false;
};

template <class R>
class ApplyJob : public Answer<R> {
 public:
  using Answer<R>::Answer;

 private:
  void take(Decoder& in, const Job::Chunk&) override { this->value_ = in.template get<R>(); }
};

template <class R>
class MapJob : public Answer<std::vector<R>> {
 public:
  MapJob(std::string function, Chunks chunks, Callbacks<std::vector<R>> callbacks)
      : Answer<std::vector<R>>(std::move(function), std::move(chunks), std::move(callbacks)) {
    this->value_.resize(this->chunks_.items);
  }

 private:
  void take(Decoder& in, const Job::Chunk& chunk) override {
    for (std::size_t i = 0; i < chunk.items; ++i) this->value_[chunk.first + i] = in.template get<R>();
  }
};

/// The handle of an asynchronous call. May be copied, and dropped before the answer is there. Each get() gives a copy
/// of the value.
template <class V>
class AsyncResult {
 public:
  explicit AsyncResult(std::shared_ptr<Answer<V>> answer) : answer_(std::move(answer)) {}
  /// The value, or throws the task's error; TimeoutError when it is not there in time.
  V get(const Timeout& timeout = {}) const { return answer_->get(timeout); }
  /// Returns when the answer is there or the time is over, does not throw the task's error: ask ready().
  void wait(const Timeout& timeout = {}) const { answer_->ready(timeout); }
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
