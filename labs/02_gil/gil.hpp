// The global interpreter lock as CPython builds it since 3.2. One thread at a time runs bytecode: the one that holds it.
//
// Two questions shape it.
//   When must the holder let go?  When somebody has waited a whole switch interval in vain. The waiter asks (the drop
//                                 request), and the holder looks at its next check point; it is never interrupted.
//   Who gets it next?             Whomever the kernel wakes first: no queue, no priority, no promise. Only one thread is
//                                 barred, the one that was just asked to leave (forced switching).
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "timeline.hpp"

namespace lab::gil {

class Gil {
 public:
  using Microseconds = std::chrono::microseconds;

  /// Python's default, sys.getswitchinterval(): 5 ms.
  static constexpr Microseconds default_interval{5000};

  /// The timeline, when there is one, must outlive the lock.
  explicit Gil(Microseconds interval = default_interval, Timeline* timeline = nullptr) : timeline_(timeline) {
    set_switch_interval(interval);
  }

  /// Waits until the lock is free and takes it; asks the holder to drop it once per switch interval. Preserves errno,
  /// for callers take the lock back between a system call that failed and the look at why. Not recursive.
  ///
  /// Waits as long as it takes: its timeout ends an interval, not the wait. Only a holder that goes away without
  /// drop(), or never meets a check point, could make it last for ever: hold it through the guard Held.
  void take() {
    const int me = this_thread();
    std::unique_lock guard(mutex_);
    if (locked_) wait_until_free(guard);
    {
      const std::lock_guard switching(switch_mutex_);
      locked_ = true;
      if (last_holder_ != me) {
        last_holder_ = me;
        ++switches_;
        switch_condition_.notify_one();  // to the thread that was asked to leave, if it waits in drop()
      }
    }
    drop_request_.store(false, std::memory_order_relaxed);  // it was meant for the holder before
    note(Moment::takes);
  }

  /// Frees the lock and signals one waiter. If the lock had been asked for, waits until another thread has it:
  /// otherwise this thread, which is on a CPU, would take it again before the one it woke has opened its eyes. A drop
  /// nobody asked for (before a call that blocks) does not wait. Throws std::logic_error when the lock is not held.
  void drop() {
    note(Moment::drops);
    {
      const std::lock_guard guard(mutex_);
      if (!std::exchange(locked_, false)) throw std::logic_error("Gil::drop: nobody holds the lock");
      condition_.notify_one();
    }
    if (!drop_requested()) return;
    // Who asked stays in take() until it has the lock, so this ends. CPython waits here without a limit; with one, a
    // waiter that vanished (a fork copies only the calling thread) costs a delay, not a hang.
    std::unique_lock switching(switch_mutex_);
    switch_condition_.wait_for(switching, std::chrono::seconds(5), [this] { return last_holder_ != this_thread(); });
  }

  /// True when a waiter asks for the lock: one load of a flag, CPython's "eval breaker". Only the holder need look.
  bool drop_requested() const { return drop_request_.load(std::memory_order_relaxed); }

  /// Where the holder can be made to let go: drops and takes again if asked to. The interpreter loop calls it.
  void check_point() {
    if (!drop_requested()) return;
    drop();
    take();
  }

  /// How long a waiter waits before it asks; also for waits that begin later. Under 1 us counts as 1 us.
  Microseconds switch_interval() const { return Microseconds(interval_us_.load(std::memory_order_relaxed)); }
  void set_switch_interval(Microseconds interval) {
    interval_us_.store(std::max<std::int64_t>(interval.count(), 1), std::memory_order_relaxed);
  }

  /// How often the lock was taken by another thread than the one before.
  std::uint64_t switches() const {
    const std::lock_guard guard(mutex_);
    return switches_;
  }

 private:
  // Apart from take() because it is the part that sleeps: a free lock costs no more than what is left there.
  void wait_until_free(std::unique_lock<std::mutex>& guard) {
    const int error = errno;
    note(Moment::waits);
    while (locked_) {
      const std::uint64_t switches_before = switches_;
      const bool timed_out = condition_.wait_for(guard, switch_interval()) == std::cv_status::timeout;
      // Did somebody else get the lock meanwhile, then its holder has not had its interval yet: wait another one.
      if (timed_out && locked_ && switches_ == switches_before) drop_request_.store(true, std::memory_order_relaxed);
    }
    errno = error;
  }

  void note(Moment moment) {
    if (timeline_ != nullptr) timeline_->note(moment);
  }

  mutable std::mutex mutex_;  // guards the two below; held for a few instructions only, unlike the lock itself
  std::condition_variable condition_;
  bool locked_ = false;
  std::uint64_t switches_ = 0;

  std::mutex switch_mutex_;  // forced switching only; taken inside mutex_, never around it
  std::condition_variable switch_condition_;
  int last_holder_ = 0;  // 0: nobody yet

  std::atomic<bool> drop_request_{false};
  std::atomic<std::int64_t> interval_us_{0};
  Timeline* const timeline_;
};

}  // namespace lab::gil
