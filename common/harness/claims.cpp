#include "common/harness/claims.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/harness/statistics.hpp"

namespace lab {
namespace {

std::optional<double> finite(double x) { return std::isfinite(x) ? std::optional(x) : std::nullopt; }

double read(const Measurement& m, const Value& value) {
  if (value.counter.empty()) return m.seconds;
  const auto found = m.counters.find(value.counter);
  return found == m.counters.end() ? std::nan("") : found->second;
}

const Measurement* find(std::span<const Measurement> all, const std::string& variant, int round) {
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Measurement& m) { return m.round == round && m.variant == variant; });
  return found == all.end() ? nullptr : &*found;
}

int last_round(std::span<const Measurement> all) {
  int last = -1;
  for (const Measurement& m : all) last = std::max(last, m.round);
  return last;
}

// The point's number in each round in which all its inputs are valid, and why the others do not count.
struct Series {
  std::vector<double> numbers;
  int rounds = 0;           // in which all inputs were measured
  std::string why_invalid;  // of the last invalid one
};
Series series(const Point& point, std::span<const Measurement> all) {
  Series out;
  for (int round = 0; round <= last_round(all); ++round) {
    std::vector<double> inputs;
    bool measured = true, valid = true;
    for (const Value& value : point.inputs) {
      const Measurement* m = find(all, value.variant, round);
      measured = measured && m;
      if (!m) continue;
      if (!m->invalid.empty()) {
        valid = false;
        out.why_invalid = m->invalid;
      }
      inputs.push_back(read(*m, value));
    }
    if (!measured) continue;
    ++out.rounds;
    if (!valid) continue;
    const double number = point.compute(inputs);
    if (std::isfinite(number)) out.numbers.push_back(number);
  }
  return out;
}

enum class Place { inside, outside, across };
Place place_of(const Interval& interval, const Point& point) {
  if (interval.low >= point.low && interval.high <= point.high) return Place::inside;
  if (interval.high < point.low || interval.low > point.high) return Place::outside;
  return Place::across;
}

// How far the estimate is towards (below 0) or beyond (above 0) the nearer edge of its band, in halves of the band or,
// where one side is open, in that edge: the larger, the worse.
double strain(double estimate, const Point& point) {
  const bool closed = std::isfinite(point.low) && std::isfinite(point.high);
  const double unit =
      closed ? (point.high - point.low) / 2 : std::abs(std::isfinite(point.low) ? point.low : point.high);
  const double beyond = std::max(point.low - estimate, estimate - point.high);
  return std::clamp(beyond / std::max(unit, 1e-300), -9e8, 9e8);
}

}  // namespace

Point Point::with(double from, double to) const {
  Point copy = *this;
  copy.low = from;
  copy.high = to;
  return copy;
}

Point Point::labelled(std::string text) const {
  Point copy = *this;
  copy.label = std::move(text);
  return copy;
}

Point Point::same_code() const {
  Point copy = *this;
  copy.code = Code::same;
  return copy;
}

Point Point::own_kernel() const {
  Point copy = *this;
  copy.code = Code::own;
  return copy;
}

Point Point::by_the_clock() const {
  Point copy = *this;
  copy.clock = true;
  return copy;
}

Point::Point(Value value) : inputs{std::move(value)}, compute([](std::span<const double> x) { return x[0]; }) {}

Point compute(std::vector<Value> inputs, std::function<double(std::span<const double>)> formula) {
  Point point;
  point.inputs = std::move(inputs);
  point.compute = std::move(formula);
  return point;
}

Point ratio(Value a, Value b) {
  return compute({std::move(a), std::move(b)}, [](std::span<const double> x) { return x[0] / x[1]; });
}

Measure model(std::vector<Point> points) {
  Measure measure;
  measure.kind = "model";
  measure.points = std::move(points);
  return measure;
}

Measure fact(std::function<Seen()> look) {
  Measure measure;
  measure.kind = "fact";
  measure.look = std::move(look);
  return measure;
}

Measure correctness(std::function<Seen()> look) {
  Measure measure = fact(std::move(look));
  measure.correctness = true;
  return measure;
}

std::vector<double> by_round(const Point& point, std::span<const Measurement> all) {
  std::vector<double> numbers;
  for (int round = 0; round <= last_round(all); ++round) {
    std::vector<double> inputs;
    for (const Value& value : point.inputs) {
      if (const Measurement* m = find(all, value.variant, round)) inputs.push_back(read(*m, value));
    }
    if (inputs.size() != point.inputs.size()) continue;
    if (const double number = point.compute(inputs); std::isfinite(number)) numbers.push_back(number);
  }
  return numbers;
}

int valid_rounds(const Measure& measure, std::span<const Measurement> all) {
  std::size_t fewest = measure.points.empty() ? 0 : SIZE_MAX;
  for (const Point& point : measure.points) fewest = std::min(fewest, series(point, all).numbers.size());
  return static_cast<int>(fewest);
}

ClaimResult judge(const Claim& claim, std::span<const Measurement> all, const std::optional<std::string>& untimeable) {
  ClaimResult result{.id = claim.id,
                     .kind = claim.measure.kind,
                     .text = claim.text,
                     .source = claim.book ? claim.book->source : "",
                     .reason = claim.because};
  const auto answer = [&](const char* verdict, const std::string& reason) {
    result.verdict = verdict;
    result.reason = reason;
    return result;
  };
  if (!claim.needs.empty()) return answer("needs", "needs " + claim.needs);
  if (claim.measure.kind == "fact") {
    const Seen seen = claim.measure.look();
    return answer(!seen.known  ? "can't tell"
                  : seen.holds ? "held"
                               : "not held",
                  claim.because.empty() || !seen.holds ? seen.what : seen.what + " · " + claim.because);
  }
  if (claim.measure.points.empty()) return answer("needs", "needs more points than this machine has");

  // All points at once: each interval is widened so that together they miss with 5 % at the most (Bonferroni).
  const double confidence = 1 - 0.05 / static_cast<double>(claim.measure.points.size());
  bool outside = false, across = false, too_few = false;
  double worst = -std::numeric_limits<double>::infinity();
  std::string which, why_invalid;
  result.valid_rounds = result.rounds = INT32_MAX;
  for (const Point& point : claim.measure.points) {
    const Series s = series(point, all);
    const int valid = static_cast<int>(s.numbers.size());
    if (valid < result.valid_rounds) {
      result.valid_rounds = valid;
      result.rounds = s.rounds;
      why_invalid = s.why_invalid;
    }
    const auto interval = median_interval(s.numbers, confidence);
    const bool judged = valid >= kLeastRounds && interval;
    const Place place = judged ? place_of(*interval, point) : Place::across;
    outside = outside || (judged && place == Place::outside);
    across = across || place == Place::across;
    too_few = too_few || !judged;
    if (valid == 0) continue;
    // The point shown is the one that decides: outside before across before inside, then the most strained.
    const double estimate = median(s.numbers);
    const double rank = (place == Place::outside ? 2e9 : place == Place::across ? 1e9 : 0) + strain(estimate, point);
    if (rank > worst) {
      worst = rank;
      which = point.label;
      result.estimate = finite(estimate);
      result.low = interval ? finite(interval->low) : std::nullopt;
      result.high = interval ? finite(interval->high) : std::nullopt;
      result.band_low = finite(point.low);
      result.band_high = finite(point.high);
    }
  }
  const std::string at = which.empty() ? ""
                         : claim.measure.points.size() == 1
                             ? which
                             : fmt::format("shown: {}, the tightest of {} points", which, claim.measure.points.size());
  const auto join = [](const std::string& a, const std::string& b) {
    return a.empty() ? b : b.empty() ? a : a + " · " + b;
  };
  if (untimeable) return answer("can't tell", "no timing counts: " + *untimeable);
  if (outside) return answer("not held", at);
  if (result.rounds == 0) return answer("can't tell", "not measured: --workers or a filter left out what it compares");
  if (too_few) {
    std::string reason = fmt::format("{} of {} rounds valid", result.valid_rounds, result.rounds);
    if (!why_invalid.empty())
      reason += ": " + why_invalid;
    else if (result.valid_rounds >= kLeastRounds)
      reason += fmt::format(", too few for {} points at once", claim.measure.points.size());
    else
      reason += fmt::format(", and a verdict takes {}", kLeastRounds);
    return answer("can't tell", reason);
  }
  if (across) return answer("can't tell", join("the interval crosses the band's edge", at));
  return answer("held", join(at, claim.because));
}

FloorResult judge_floor(const std::string& mechanism, const std::string& floor, std::span<const Measurement> all) {
  FloorResult result{.mechanism = mechanism, .floor = floor};
  const Series s = series(ratio(mechanism, floor), all);
  if (s.numbers.empty()) return result;
  result.ratio = finite(median(s.numbers));
  if (const auto interval = median_interval(s.numbers, 0.95)) {
    result.low = finite(interval->low);
    result.high = finite(interval->high);
  }
  return result;
}

}  // namespace lab
