#include "common/harness/claims.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/harness/statistics.hpp"

namespace lab {
namespace {

std::optional<double> finite(double x) { return std::isfinite(x) ? std::optional(x) : std::nullopt; }

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

ClaimResult judge(const Claim& claim, std::span<const Measurement> all, const std::optional<std::string>& untimeable) {
  ClaimResult result{.id = claim.id,
                     .kind = claim.measure.kind,
                     .text = claim.text,
                     .source = claim.book ? claim.book->source : "",
                     .unit = claim.unit,
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
  const FullSpeed full(all);
  bool outside = false, across = false, unmeasured = false;
  double worst = -std::numeric_limits<double>::infinity();
  std::string which, disturbed, clock;
  for (const Point& point : claim.measure.points) {
    const std::vector<Ends> pairs = pair_up(point, all, full);
    const auto found = interval(pairs, confidence);
    const Place place = found ? place_of(*found, point) : Place::across;
    outside = outside || place == Place::outside;
    across = across || place == Place::across;
    unmeasured = unmeasured || pairs.empty();
    if (pairs.empty()) continue;
    const std::span used(pairs.data(), used_pairs(pairs, confidence));
    std::vector<double> middles, times;
    for (const Ends& pair : used) {
      middles.push_back(pair.low > 0 ? std::sqrt(pair.low * pair.high) : (pair.low + pair.high) / 2);
      times.push_back(pair.by_the_clock);
    }
    // The point shown is the one that decides: outside before across before inside, then the most strained.
    const double estimate = median(middles);
    const double rank = (place == Place::outside ? 2e9 : place == Place::across ? 1e9 : 0) + strain(estimate, point);
    if (rank <= worst) continue;
    worst = rank;
    which = point.label;
    result.estimate = finite(estimate);
    result.low = found ? finite(found->low) : std::nullopt;
    result.high = found ? finite(found->high) : std::nullopt;
    result.band_low = finite(point.low);
    result.band_high = finite(point.high);
    result.rounds = static_cast<int>(pairs.size());
    result.used_rounds = static_cast<int>(used.size());
    disturbed = disturbance(used, full);
    const double measured = median(times);
    clock = point.code == Code::own && std::abs(measured / estimate - 1) > 0.02
                ? fmt::format("by the clock {:.3g}{}: {}", measured, claim.unit, disturbed)
                : "";
  }
  const auto join = [](const std::string& a, const std::string& b) {
    return a.empty() ? b : b.empty() ? a : a + " · " + b;
  };
  const std::string at = which.empty() ? ""
                         : claim.measure.points.size() == 1
                             ? which
                             : fmt::format("shown: {}, the tightest of {} points", which, claim.measure.points.size());
  if (untimeable) return answer("can't tell", "no timing counts: " + *untimeable);
  if (outside) return answer("not held", join(at, clock));
  if (unmeasured) return answer("can't tell", "not measured: --workers or a filter left out what it compares");
  if (!result.low) {
    return answer("can't tell",
                  join(fmt::format("{} rounds are too few{}", result.rounds,
                                   result.rounds < kLeastRounds
                                       ? fmt::format(", a verdict takes {}", kLeastRounds)
                                       : fmt::format(" for {} points at once", claim.measure.points.size())),
                       at));
  }
  if (across) {
    return answer("can't tell", join(disturbed.empty() ? "the interval crosses the band's edge"
                                                       : fmt::format("between {:.3g} and {:.3g}: {}", *result.low,
                                                                     *result.high, disturbed),
                                     at));
  }
  return answer("held", join(join(at, clock), claim.because));
}

FloorResult judge_floor(const std::string& mechanism, const std::string& floor, std::span<const Measurement> all) {
  const ClaimResult judged = judge({.measure = ratio(mechanism, floor)}, all, std::nullopt);
  return {mechanism, floor, judged.estimate, judged.low, judged.high};
}

}  // namespace lab
