// Who holds the lock, and when: two countdowns under each lock, as a timeline.
#pragma once

#include <algorithm>
#include <climits>

#include "common/harness/trace.hpp"
#include "common/os/team.hpp"
#include "gil.hpp"
#include "interpreter.hpp"
#include "old_gil.hpp"

namespace lab::gil {

/// Runs one countdown in each of two threads under `lock`, which writes into `timeline`, and adds its spans to the trace.
template <class Lock>
void record_countdowns(Trace& trace, Lock& lock, const Timeline& timeline, std::int64_t count, CheckPoints check_points,
                       const char* holds, const char* waits) {
  run_team({.size = 2, .vehicle = Vehicle::threads}, [&](int) {
    Globals globals;
    return static_cast<std::uint64_t>(run(countdown(count), lock, globals, check_points));
  });
  int first = INT_MAX;
  for (const Span& span : timeline.spans()) first = std::min(first, span.thread);
  for (const Span& span : timeline.spans()) {
    trace.span(span.name == "holds" ? holds : waits, span.thread - first, span.begin, span.end);
  }
}

/// Countdowns from `count` under the new lock, and from a tenth of it, which is plenty of turns, under the old one.
inline void record_both_locks(Trace& trace, std::int64_t count) {
  trace.name_track(0, "thread 1");
  trace.name_track(1, "thread 2");
  Timeline turns, ticks;
  Gil gil(Gil::default_interval, &turns);
  record_countdowns(trace, gil, turns, count, CheckPoints::back_edges_and_calls, "new lock: holds", "new lock: waits");
  OldGil old_gil(&ticks);
  record_countdowns(trace, old_gil, ticks, count / 10, CheckPoints::every_instruction, "old lock: holds",
                    "old lock: waits");
}

}  // namespace lab::gil
