// Which variants there are, and the rounds in which they are measured.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "common/harness/claims.hpp"
#include "common/harness/measure.hpp"

namespace lab {

/// What the command line says, as far as it concerns what a lab measures.
struct Options {
  std::string size = "normal";        ///< "quick", "normal" or "full"
  std::vector<std::int64_t> workers;  ///< of --workers, ascending; empty: not given
  bool quick() const { return size == "quick"; }
  bool full() const { return size == "full"; }
};

/// Adds a family's arguments, once the options are known.
using AddArguments = void (*)(Family*, const Options&);

/// For a benchmark's Apply: every variant of a lab is declared by one of these, `BENCHMARK(f)->Apply(lab::busy)` or
/// `BENCHMARK(f)->Apply(lab::busy_with<lab::each_worker_count>)`.
void declare(Family* family, Kind kind, AddArguments add_arguments);
inline void busy(Family* family) { declare(family, Kind::busy, nullptr); }
inline void blocking(Family* family) { declare(family, Kind::blocking, nullptr); }
template <AddArguments add_arguments>
void busy_with(Family* family) {
  declare(family, Kind::busy, add_arguments);
}
template <AddArguments add_arguments>
void blocking_with(Family* family) {
  declare(family, Kind::blocking, add_arguments);
}

/// The worker counts this lab is run with: those of --workers, or `otherwise`; without any of these 1, 2, 4, 8, 16, the
/// physical cores and every count up to them (beyond 8 cores: the powers of two).
std::vector<std::int64_t> worker_counts(const Options& options, std::vector<std::int64_t> otherwise = {});
/// Argument "workers" with worker_counts().
void each_worker_count(Family* family, const Options& options);

struct Variant {
  Family* family = nullptr;
  Kind kind = Kind::busy;
  std::string name;  ///< function and arguments, without what the library adds
  std::int64_t iterations = 1;
};

/// All variants of this program, arguments added; in order of declaration. Call it once.
std::vector<Variant> list_variants(const Options& options);

struct Plan {
  int rounds = 15;
  unsigned seed = 1;
  double least_seconds = 0.020;  ///< a measurement lasts at least this
  double most_seconds =
      std::numeric_limits<double>::infinity();  ///< then no round is begun, but the six a verdict takes
  double stretch = 1.5;  ///< rounds are added for points that were disturbed, up to this times the planned time
  /// Told before each measurement: the share of the work that is done (0 to 1) and the seconds left.
  std::function<void(double done, double seconds_left)> progress;
};

struct Outcome {
  std::vector<Measurement> measurements;  ///< in the order taken
  std::vector<std::string> wrong;         ///< sentences of wrong answers
  int rounds = 0;
};

/// Calibrates each variant's iterations once, then measures: a round runs every variant once in a new random order, so
/// that none has a fixed predecessor. Goes on, with just the variants they read, while points are disturbed.
Outcome run_rounds(std::vector<Variant> variants, const std::vector<Point>& points, const Plan& plan);

}  // namespace lab
