// One look at a clock, wherever a time is taken.
#pragma once

#include <cstdint>
#include <ctime>

namespace lab {

/// Nanoseconds of that clock: since boot, of this thread's CPU time (CLOCK_THREAD_CPUTIME_ID) ...
inline std::int64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return t.tv_sec * std::int64_t{1'000'000'000} + t.tv_nsec;
}
inline double seconds_of(clockid_t clock) { return 1e-9 * static_cast<double>(now_ns(clock)); }

}  // namespace lab
