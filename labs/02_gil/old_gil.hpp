// The global interpreter lock as it was until CPython 3.1 (and in all of Python 2): it counts instructions, not time.
//
// It differs from gil.hpp in two answers. When must the holder let go? After 100 ticks, whether anybody waits or not.
// Who gets it next? Anybody, the thread that just let go included: the waiter is signalled, and no more.
#pragma once

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "timeline.hpp"

namespace lab::gil {

class OldGil {
 public:
  /// Python 2's sys.getcheckinterval(). A tick is an instruction, so some 3 us of them at this lab's pace.
  static constexpr int ticks_per_turn = 100;

  explicit OldGil(Timeline* timeline = nullptr) : timeline_(timeline) {}

  /// Waits until the lock is free and takes it. Asks nobody for anything. Preserves errno. Waits as long as it takes.
  void take() {
    const int error = errno;
    std::unique_lock guard(mutex_);
    if (locked_) note(Moment::waits);
    condition_.wait(guard, [this] { return !locked_; });
    locked_ = true;
    if (std::exchange(last_holder_, this_thread()) != this_thread()) ++switches_;
    note(Moment::takes);
    errno = error;
  }

  /// Frees the lock and signals one waiter, which still has to wake up, find a CPU, and be first. Throws
  /// std::logic_error when the lock is not held.
  void drop() {
    note(Moment::drops);
    const std::lock_guard guard(mutex_);
    if (!std::exchange(locked_, false)) throw std::logic_error("OldGil::drop: nobody holds the lock");
    condition_.notify_one();
  }

  /// True when the ticks are used up. To be asked by the holder only.
  bool drop_requested() const { return ticks_ <= 0; }

  /// One tick; the hundredth drops the lock and takes it again.
  void check_point() {
    --ticks_;
    if (!drop_requested()) return;
    ticks_ = ticks_per_turn;
    drop();
    take();
  }

  /// How often the lock was taken by another thread than the one before.
  std::uint64_t switches() const {
    const std::lock_guard guard(mutex_);
    return switches_;
  }

 private:
  void note(Moment moment) {
    if (timeline_ != nullptr) timeline_->note(moment);
  }

  mutable std::mutex mutex_;
  std::condition_variable condition_;
  bool locked_ = false;
  std::uint64_t switches_ = 0;
  int last_holder_ = 0;

  int ticks_ = ticks_per_turn;  // the holder's: guarded by the lock itself
  Timeline* const timeline_;
};

}  // namespace lab::gil
