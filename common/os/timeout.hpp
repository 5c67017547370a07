// How long somebody is willing to wait, in whatever unit it is said.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "common/os/descriptor.hpp"

namespace lab {

/// A duration of any unit, or none: as long as it takes. So is more than a clock can count: seconds::max() must not
/// overflow on its way to nanoseconds and be over at once. Less than nothing, and not a number, are 0.
class Timeout {
 public:
  Timeout(std::nullopt_t = std::nullopt) {}
  template <class Count, class Unit>
  Timeout(std::chrono::duration<Count, Unit> wait) {
    const double seconds = std::chrono::duration<double>(wait).count();
    if (constexpr double century = 3.2e9; seconds > century) return;
    wait_ = seconds > 0 ? std::chrono::duration_cast<std::chrono::nanoseconds>(wait) : std::chrono::nanoseconds(0);
  }

  explicit operator bool() const { return wait_.has_value(); }
  Deadline deadline(Deadline since = Clock::now()) const { return wait_ ? since + *wait_ : Deadline::max(); }

 private:
  std::optional<std::chrono::nanoseconds> wait_;
};

}  // namespace lab
