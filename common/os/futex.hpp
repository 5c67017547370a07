// Waiting on a word of memory that several processes share. std::atomic::wait does not do: it wakes its own process
// only.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

#include "common/os/descriptor.hpp"

namespace lab {

using FutexWord = std::atomic<std::uint32_t>;

/// Sleeps while `word` holds `expected`, until it is woken or the deadline passes. May return early: look again.
inline void futex_wait(FutexWord& word, std::uint32_t expected, Deadline deadline) {
  const timespec timeout = time_left(deadline);
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT, expected, &timeout, nullptr, 0);
}

/// Wakes up to `waiters` sleepers.
inline void futex_wake(FutexWord& word, int waiters = INT_MAX) {
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE, waiters, nullptr, nullptr, 0);
}

}  // namespace lab
