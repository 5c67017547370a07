// x += 1 in several threads under one lock: is an update lost?
#pragma once

#include "common/os/team.hpp"
#include "gil.hpp"
#include "interpreter.hpp"

namespace lab::gil {

/// Three threads add 1 to one global, `times` times each, under a lock that is asked for after a microsecond. Returns
/// how many of the 3 * times additions are missing at the end.
inline std::int64_t lost_updates(std::int64_t times, CheckPoints check_points) {
  Gil gil(std::chrono::microseconds(1));
  Globals globals;
  run_team({.size = 3, .vehicle = Vehicle::threads},
           [&](int) { return static_cast<std::uint64_t>(run(add_to_global(times), gil, globals, check_points)); });
  return 3 * times - globals.x;
}

/// Tries with a check point after every instruction until an update is lost or 2 s are over, then as often with check
/// points at back edges only.
struct LostUpdates {
  static constexpr std::int64_t times = 5000;
  std::int64_t inside = 0, outside = 0;
  LostUpdates() {
    const Deadline deadline = Clock::now() + std::chrono::seconds(2);
    int tries = 0;
    for (; inside == 0 && Clock::now() < deadline; ++tries)
      inside = lost_updates(times, CheckPoints::every_instruction);
    for (; tries > 0; --tries) outside += lost_updates(times, CheckPoints::back_edges_and_calls);
  }
};

}  // namespace lab::gil
