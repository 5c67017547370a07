// How fast each CPU was, and who used it: the evidence for what a disturbance can have cost a measurement.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/machine/cores.hpp"
#include "common/os/clock.hpp"
#include "common/os/descriptor.hpp"

namespace lab {

/// This machine, looked at once.
const Machine& machine();

/// The kind of core a CPU belongs to, as Core::kind numbers it.
int kind_of(int cpu);

/// The CPUs this process may use.
std::vector<int> allowed_cpus();

/// One CPU's speed at one moment.
struct Pace {
  int cpu = 0;
  int kind = 0;     ///< of core: CPUs of one kind should run at one speed
  double spin = 0;  ///< seconds of a fixed piece of work: the less, the faster
};

/// Right before and right after a worker's work, on the CPUs it then ran on.
struct Paces {
  Pace before, after;
};

/// A fixed piece of the `busy_wait` kernel that shows how fast the calling thread's CPU runs. Of five spins of about
/// 0.06 ms the median counts: a single one of 0.3 ms is off by 5 % one time in four even on a quiet machine.
class Yardstick {
 public:
  Yardstick();  ///< chooses the spin's length by trying
  /// Of the CPU the calling thread is on. In seconds of 100,000 counts, so that fresh processes, which choose other
  /// lengths, can be compared.
  Pace pace() const;
  /// Measures until two in a row agree within 2 %, or eight are done: a CPU that slept needs a moment to get to speed.
  Pace steady_pace() const;

 private:
  std::uint64_t counts_ = 0;
};

/// One pace of each core this process may use (of 16 of them, evenly spread, where there are more), the calling thread
/// moving from one to the next: for variants whose workers are not ours to place. The thread may use all allowed CPUs
/// afterwards.
std::vector<Pace> visit_cores(const Yardstick& yardstick);

/// CPU seconds of this process, its descendants, living and reaped.
double own_cpu_seconds();
/// Those of the living descendants alone: of servers, while no worker runs.
double servers_cpu_seconds();

/// CPU time used on the CPUs allowed to us by processes that are not ours.
class ForeignLoad {
 public:
  ForeignLoad();
  void sample();         ///< call at the end of every measurement
  double share() const;  ///< of one CPU, over the last 200 ms or more: the kernel's ticks are 10 ms
 private:
  struct Sample {
    Deadline when;
    double foreign_seconds;
  };
  std::vector<Sample> samples_;
};

}  // namespace lab
