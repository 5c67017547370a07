// The interval judge: what can a number have been on an undisturbed machine?
//
// Before and after its work each worker spins a yardstick, so we know how slow its CPU was, and a measurement stands for
// every time between "the slowness cost it all it could" and "it cost it nothing". From each variant we take the calmest
// measurements, calmest with calmest, and work out the formula's least and greatest value for each pair. The median of
// these ends, with its exact 95 % interval, is inside the band (held), outside it (not held) or across its edge (can't
// tell). Tried on simulated machines, and on recorded runs of a virtual one whose host slows it down for seconds.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/harness/statistics.hpp"
#include "common/harness/yardstick.hpp"

namespace lab {

struct Point;

/// One variant in one round.
struct Measurement {
  std::string variant;  ///< function and arguments: "raw_value/every:1000"
  int round = 0;
  std::int64_t iterations = 1;
  double seconds = 0;      ///< wall time an iteration
  double cpu_seconds = 0;  ///< CPU time of all workers an iteration
  std::map<std::string, double> counters;
  std::string wrong;         ///< the sentence of a wrong answer: then it is not used
  std::vector<Paces> paces;  ///< of each worker, or of each CPU that a pool or server may have run on
  int busy = 1;              ///< CPUs that were busy while the yardsticks were spun
  bool floating = false;     ///< nobody knows which worker ran on which of these CPUs
  double cpu_share = 1;      ///< CPU time of all its processes over its time, at most 1: nothing slows a sleeper
  double kept = 1;           ///< share of the time its worst worker was not kept from its CPU by others
};

/// The fastest yardsticks of a run, by kind of core and by the number of CPUs that were busy: with all cores busy a laptop
/// is slower, and that is what it can do.
class FullSpeed {
 public:
  explicit FullSpeed(std::span<const Measurement> all);
  /// The fastest spin of this pace's kind of core while at least so many CPUs were busy: with fewer it is no slower.
  double fastest(const Pace& pace, int busy) const;

 private:
  std::map<std::pair<int, int>, double> fastest_;  // by kind of core and busy CPUs
};

/// What a point's number can have been in one set of its inputs' measurements, one of each variant.
struct Ends {
  double low = 0, high = 0;
  double by_the_clock = 0;  ///< as measured
  bool narrow = false;      ///< as good as undisturbed, for a band as wide as this point's
  std::vector<const Measurement*> inputs;
  double width() const;  ///< high over low; 1 for a count
};

/// The sets of one measurement of each of the point's variants, calmest with calmest, narrowest first.
std::vector<Ends> pair_up(const Point& point, std::span<const Measurement> all, const FullSpeed& full);

/// Whether another round would help: decided by widths, never by the verdict.
bool more_rounds(const std::vector<Ends>& pairs);

/// How many of the narrowest pairs are used: the narrow ones, but at least 9 and at most 15, and as many as that
/// confidence takes.
std::size_t used_pairs(const std::vector<Ends>& pairs, double confidence);

/// The interval of the median at that confidence; none from fewer than 6 pairs, or than the confidence takes.
std::optional<Interval> interval(const std::vector<Ends>& pairs, double confidence);

/// What disturbed these pairs most: "CPU 0 ran at 42 to 97 % of its speed"; empty when nothing did.
std::string disturbance(std::span<const Ends> pairs, const FullSpeed& full);

/// The lowest and the highest pace of a measurement, 1 being full speed for as many busy CPUs; 1 and 1 without paces.
Interval pace_range(const Measurement& m, const FullSpeed& full);

/// With fewer pairs there is no verdict.
inline constexpr int kLeastRounds = 6;

}  // namespace lab
