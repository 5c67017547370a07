// What a process keeps to itself although fork copies it into every child.
#pragma once

#include <unistd.h>

#include <atomic>
#include <memory>
#include <utility>

namespace lab {

/// One T in each process, made when first asked for. So a forked child has locks and lists of its own: its parent's may be
/// held, or half changed, by threads that it does not have. Its parent's pages are not written to, for each would be
/// copied. A static is never destroyed, since it is used after the destructors of statics have begun.
template <class T>
class PerProcess {
 public:
  T& get() {
    Owned* last = latest_.load(std::memory_order_acquire);
    if (last != nullptr && last->owner == ::getpid()) return last->value;
    auto made = std::make_unique<Owned>(last);
    // Of two threads that come first, one makes it.
    if (latest_.compare_exchange_strong(last, made.get(), std::memory_order_acq_rel)) return made.release()->value;
    return last->value;
  }
  /// For what is no static: all of them go, those copied from parents too. Nobody may use it any more.
  void forget() {
    for (Owned* last = latest_.exchange(nullptr); last != nullptr;) delete std::exchange(last, last->parents);
  }
  T* existing() const {  ///< null where this process has not asked for it yet
    Owned* last = latest_.load(std::memory_order_acquire);
    return last != nullptr && last->owner == ::getpid() ? &last->value : nullptr;
  }

 private:
  struct Owned {
    explicit Owned(Owned* before) : parents(before) {}
    const pid_t owner = ::getpid();
    Owned* const parents;  // out of use, but not lost to those who look for leaks
    T value{};
  };
  std::atomic<Owned*> latest_{nullptr};
};

}  // namespace lab
