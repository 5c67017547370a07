// One look at a clock, wherever a time is taken or waited for.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace lab {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

/// Nanoseconds of that clock: since boot, of this thread's CPU time (CLOCK_THREAD_CPUTIME_ID) ...
inline std::int64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return t.tv_sec * std::int64_t{1'000'000'000} + t.tv_nsec;
}
inline double seconds_of(clockid_t clock) { return 1e-9 * static_cast<double>(now_ns(clock)); }

/// What is left until the deadline, never negative, as system calls want it.
inline timespec time_left(Deadline deadline) {
  const auto left = std::max(deadline - Clock::now(), Clock::duration::zero());
  return {static_cast<time_t>(left / std::chrono::seconds(1)),
          static_cast<long>((left % std::chrono::seconds(1)).count())};
}

}  // namespace lab
