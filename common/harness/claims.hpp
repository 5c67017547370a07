// Claims: what is believed, within which band, and the judge that answers from the measured rounds.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/harness/interval.hpp"
#include "common/harness/record.hpp"

namespace lab {

/// What a claim reads of a measurement: its time an iteration in seconds, or one of its counters, or "cpu_time", the CPU
/// seconds of all its workers an iteration. Implicit from a name. A counter whose name ends in _ns, _us, _ms or _s is a
/// time and judged as one; others are counts and shares. A share of time depends on what disturbs the whole: it is to be
/// computed from two times.
struct Value {
  Value(const char* name) : variant(name) {}
  Value(std::string name, std::string of_counter = "") : variant(std::move(name)), counter(std::move(of_counter)) {}
  std::string variant, counter;
};

/// What code a point's sides run, and so what a slow CPU can have cost them (reading-a-result.md, "Disturbance").
/// any: each side felt between nothing and all of its own slowness. same: the same instructions on all sides, so that
/// equal slowness cancels. own: the yardstick's own kernel, each worker a fixed share of it.
enum class Code { any, same, own };

/// A number computed from values of one round, and the band it must lie in.
struct Point {
  Point() = default;
  Point(Value value);  ///< that value itself
  Point(const char* variant) : Point(Value(variant)) {}
  Point(std::string variant) : Point(Value(std::move(variant))) {}
  std::vector<Value> inputs;
  std::function<double(std::span<const double>)> compute;
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  std::string label;  ///< which of a model's points this is: "4 workers"

  Point within(double from, double to) const { return with(from, to); }
  Point at_most(double to) const { return with(low, to); }
  Point at_least(double from) const { return with(from, high); }
  Point labelled(std::string text) const;
  Point same_code() const;
  Point own_kernel() const;
  /// Sharing the cores is the subject: each side's full speed is that of its own number of busy CPUs.
  Point by_the_clock() const;
  Code code = Code::any;
  bool clock = false;

 private:
  Point with(double from, double to) const;
};

/// a / b.
Point ratio(Value a, Value b);
/// Any function of several values of one round.
Point compute(std::vector<Value> inputs, std::function<double(std::span<const double>)> formula);

/// What was counted or seen.
struct Seen {
  bool holds = false;
  std::string what;   ///< the sentence of evidence: "1200000 of 1200000 increments"
  bool known = true;  ///< false: could not be observed this time, which is can't tell
};

/// How a claim is answered: by one ratio, by several points that must all lie in their bands, or by a fact.
struct Measure {
  Measure() = default;
  Measure(Point point) : kind("ratio"), points{std::move(point)} {}  // NOLINT: a ratio is a measure
  std::string kind;                                                  ///< "ratio", "model" or "fact"
  std::vector<Point> points;
  std::function<Seen()> look;  ///< of a fact: runs once, after the rounds
  bool correctness = false;    ///< a fact that, when false, is a wrong answer: the lab exits 1
};
Measure model(std::vector<Point> points);
Measure fact(std::function<Seen()> look);         ///< about the machine: false is "not held"
Measure correctness(std::function<Seen()> look);  ///< about our answers: false is a failure

/// The book's own figures for the claim: for reading beside ours, never judged.
struct Book {
  double low = 0, high = 0;  ///< both 0: no number was published
  std::string source;
};

struct Claim {
  std::string id, text;
  Measure measure;
  std::optional<Book> book;
  std::string because;  ///< the reason in one line, shown after the run
  std::string needs;    ///< what this machine lacks for it ("2 cores; 1 is allowed here"); empty: nothing
  std::string unit = "x";
};

/// Answers the claim. `untimeable`: why no timing of this build counts, if so. Pure: the same rounds, the same answer.
ClaimResult judge(const Claim&, std::span<const Measurement>, const std::optional<std::string>& untimeable);

/// Median of the paired ratios of two variants and its 95 % interval.
FloorResult judge_floor(const std::string& mechanism, const std::string& floor, std::span<const Measurement>);

}  // namespace lab
