// A lab: variants declared with Google Benchmark, claims about them, and lab::run, which does the rest.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/harness/claims.hpp"
#include "common/harness/measure.hpp"
#include "common/harness/rounds.hpp"
#include "common/harness/trace.hpp"

namespace lab {

/// What this machine lacks for a claim: for Claim::needs. Empty when it lacks nothing.
std::string needs_cores(int cores);    ///< physical cores, as far as affinity and quota allow them
std::string needs_hardware_threads();  ///< more hardware threads than physical cores
std::string needs_equal_cores();       ///< one kind of core

/// An option of one lab's own: its value is stored before anything runs.
struct Option {
  std::string name, help;            ///< "--every"
  std::string* value;                ///< holds the default
  std::vector<std::string> allowed;  ///< empty: anything
};

/// A line of the table that a person reads first.
struct Row {
  std::string name;  ///< "two threads under the lock"
  Point value;       ///< a variant's time by its name, a counter, or a formula: ratio(a, b)
  std::string unit;  ///< "x", "MiB"; empty: the value is in seconds, shown in the unit that fits
  std::string
      ask;  ///< a question that is asked before the run, on the page in the same words; its answer stands beside
};

struct Lab {
  std::string title;      ///< "The interpreter lock"
  std::string question;   ///< shown before the run
  std::vector<Row> rows;  ///< 5 to 8
  std::vector<Claim> claims;
  /// Mechanism and the floor below it, both variants: the least the machine charges for the same protocol.
  std::vector<std::pair<std::string, std::string>> floors;
  /// What is shown and stored but is no time: a name and a function that makes the text.
  std::vector<std::pair<std::string, std::function<std::string()>>> tables;
  /// Records a timeline, once, after the rounds.
  std::function<void(Trace&)> trace;
  /// Demonstrations for --show NAME, run instead of the experiment; their output goes to stdout.
  std::vector<std::pair<std::string, std::function<void()>>> shows;
  /// That --workers changes something, where no variant is named for a number of workers.
  bool takes_workers = false;
  /// Runs instead of the experiment where the lab's own options ask for that; returns the exit status.
  std::function<int()> instead;
  /// Runs once before anything is asked or measured: starts what the variants need. Throws MissingPrerequisite or BadOption
  /// where that is not to be had.
  std::function<void()> prepare;
};

/// Makes the lab once the options are known.
using Experiment = Lab (*)(const Options&);

/// Parses the options, makes the lab, measures, judges, prints and records. Returns the exit status: 0 ran, 1 a wrong
/// answer or a crash, 2 bad options, 77 a missing prerequisite; on Ctrl-C the program ends with 130. Call it from main
/// and return what it returns. `own`: the lab's own options.
int run(int argc, char** argv, Experiment experiment, std::vector<Option> own = {});

/// Words on the command line that cannot be followed: status 2. An experiment may throw it, too.
struct BadOption : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Thrown where a prerequisite turns out to be missing: the lab says the sentence and ends with status 77.
struct MissingPrerequisite : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace lab
