// Whether a measurement counts: did the workers have their CPUs, and did the CPUs run at their speed?
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include "common/harness/claims.hpp"
#include "common/machine/cores.hpp"
#include "common/os/clock.hpp"
#include "common/os/descriptor.hpp"

namespace lab {

/// What must be true of a variant's measurement for its time to count.
/// busy: each worker was on its own CPU at least 95 % of the time.
/// blocking: workers wait much of the time; the CPUs must have been free of foreign work instead.
/// A busy team with more workers than hardware threads is oversubscribed: judged as blocking, and marked.
enum class Kind { busy, blocking };

/// This machine, looked at once.
const Machine& machine();

/// The CPUs this process may use.
std::vector<int> allowed_cpus();

/// One fixed spin of about 0.3 ms: how fast a CPU runs now.
struct Pace {
  int cpu = 0;
  int group = 0;  ///< CPUs of one group should run at one speed: kind of core, alone on it or sharing it
  double seconds = 0;
};

/// The best spin seen so far in each group; what is more than 5 % slower is not full speed.
class Yardstick {
 public:
  Yardstick();
  /// Spins on the calling thread's CPU; again for up to 10 ms while that CPU is slow, so that a measurement starts at
  /// speed.
  double at_speed(int group) const;
  /// One spin, by the wall clock; by the thread's CPU time where others share its CPU. The best is learned from wall
  /// time only: a guest's CPU clock is corrected for stolen time, and a correction that comes late makes a spin look
  /// too fast.
  double spin(clockid_t clock = CLOCK_MONOTONIC) const;
  int group_of(int cpu, bool shared) const;
  void learn(const std::vector<Pace>& paces);
  double speed(const Pace& pace) const;  ///< 1 = the best seen, 0.5 = half of it

 private:
  std::uint64_t counts_ = 0;
  std::vector<double> best_;
};

/// CPU time used on the CPUs allowed to us by processes that are not ours.
class ForeignLoad {
 public:
  ForeignLoad();
  void sample();         ///< call at the end of every measurement
  double share() const;  ///< of one CPU, over the last 400 ms or more: ticks are 10 ms
 private:
  struct Sample {
    Deadline when;
    double foreign_seconds;
  };
  std::vector<Sample> samples_;
};

/// A measurement as taken, with what its validity will be judged by once the best speed is known.
struct Raw {
  Measurement measurement;
  Kind kind = Kind::busy;
  bool oversubscribed = false;
  double seconds = 0;  ///< the whole measurement took
  std::vector<Pace> paces;
  double on_cpu = 1;   ///< the worst worker's CPU time over wall time
  double foreign = 0;  ///< ForeignLoad::share() at its end
  bool moved = false;  ///< a placed worker was seen on another CPU
  std::string wrong;   ///< the sentence of a wrong answer
};

/// Fills in measurement.invalid and the counters valid, speed, on_cpu, workers.
void decide_validity(Raw& raw, const Yardstick& yardstick);

}  // namespace lab
