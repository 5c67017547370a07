// A team of workers, as processes or as threads behind one interface: placed, started together at a gate in shared
// memory, each with its own account of the time it took, none outliving its deadline or its parent.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

#include "common/os/children.hpp"

namespace lab {

enum class Vehicle { processes, threads };

/// What a worker tells about its work. Times in nanoseconds; begin and end are on the monotonic clock, so they compare
/// between workers.
struct Report {
  std::int64_t begin = 0, end = 0;
  std::int64_t cpu = 0;  ///< CPU time between begin and end, of the worker's process or thread
  int first_cpu = -1, last_cpu = -1;
  std::int64_t waited = -1;  ///< ns it could have run between begin and end but had no CPU; below 0: the kernel does not tell
  double before = 0, after = 0;  ///< what Team::frame returned
  std::uint64_t answer = 0;      ///< what the work returned
};

struct Team {
  int size = 1;
  Vehicle vehicle = Vehicle::processes;
  std::chrono::nanoseconds deadline = std::chrono::seconds(60);
  /// Runs first in each worker: binds it to its CPU. May be empty.
  std::function<void(int worker)> prepare;
  /// Runs in each worker right before and right after the work; its value goes into the report. May be empty. The first
  /// call is `patient`: it may wait until the CPU is fit to be measured; a spinning team calls it again until all are
  /// ready.
  std::function<double(bool patient)> frame;
  /// True: a worker spins at the gates and keeps its CPU busy until all are done, so that nobody's work is measured
  /// beside an idle CPU. Only for teams that have a CPU each.
  bool spin = false;
};

/// A worker that ended otherwise than by finishing its work. The sentence names worker, pid and signal or error.
struct WorkerError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Runs `work(worker)` once in each of the team's workers, 0 <= worker < size, and returns their reports in that order.
/// Each worker has its own copy of `work`. Processes are forked from the calling thread, which must be the process's
/// only one. When a worker dies, exits, throws or misses the deadline the others are killed and reaped, and WorkerError
/// is thrown. Threads cannot be killed: when one throws, the others leave at the next gate, and those that miss the
/// deadline, or are still at work 2 s after another threw, end the program with status 1. std::system_error when no
/// worker can be started.
std::vector<Report> run_team(const Team& team, const std::function<std::uint64_t(int worker)>& work);

}  // namespace lab
