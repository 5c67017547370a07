// Timeouts at the ends of what can be said: whoever waits is tried with each of them.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <limits>

#include "common/os/timeout.hpp"

namespace lab {

/// No time at all, whatever overflows on its way to nanoseconds.
inline const Timeout kNoTime[] = {
    std::chrono::seconds(0),
    std::chrono::seconds(-1),
    std::chrono::nanoseconds::min(),
    std::chrono::hours::min(),
    std::chrono::duration<double>(-1e300),
    std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN()),
};

/// As long as it takes.
inline const Timeout kAsLongAsItTakes[] = {
    std::chrono::nanoseconds::max(),
    std::chrono::seconds::max(),
    std::chrono::hours::max(),
    std::chrono::hours(24 * 365 * 400),
    std::chrono::duration<double>(1e300),
    std::chrono::duration<double>(std::numeric_limits<double>::infinity()),
    std::nullopt,
};

/// With each of these `wait(timeout)`, in a thread, must still wait after `a_while`, in which it looks at the clock at
/// least once, and return when `end()` has been called.
template <class Wait, class End>
void expect_no_timeout(Wait wait, End end, std::chrono::milliseconds a_while = std::chrono::milliseconds(20)) {
  for (const Timeout& timeout : kAsLongAsItTakes) {
    SCOPED_TRACE(&timeout - kAsLongAsItTakes);
    auto waiting = std::async(std::launch::async, [&] { wait(timeout); });
    const bool waits = waiting.wait_for(a_while) == std::future_status::timeout;
    EXPECT_TRUE(waits);
    if (waits) end();
    EXPECT_NO_THROW(waiting.get());
  }
}

}  // namespace lab
