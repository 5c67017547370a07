#include "common/harness/interval.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "common/harness/claims.hpp"

namespace lab {
namespace {

// The judge's constants, each tried against others on simulated machines.
constexpr double kNoise = 0.02;  // a pace within 2 % of full speed is full speed
constexpr double kTicks = 0.05;  // so is having kept the CPU 95 % of the time: the kernel's clock is coarse
constexpr double kNarrow = 0.1;  // a pair whose ends are less than 10 % apart is as good as undisturbed
constexpr std::size_t kLeastPairs = 9, kMostPairs = 15;
constexpr double kOwnKernel =
    0.85;  // measured: 20 ms of the yardstick's own kernel feel 87 to 100 % of what its spin feels

// How far an estimate in the middle of the band, or at 1 where one side is open, is from the edge: what is overlooked as
// noise must be small beside it, or a narrow claim would be told from what cannot be seen.
double room(const Point& point) {
  const bool from = point.low > 0, to = std::isfinite(point.high);
  const double room = from && to ? std::log(point.high / point.low) / 2
                      : from     ? std::abs(std::log(point.low))
                      : to       ? std::abs(std::log(point.high))
                                 : 0;
  return room > 0 ? room : std::numeric_limits<double>::infinity();
}

// What counts as undisturbed.
struct Calm {
  double noise = kNoise, ticks = kTicks, narrow = kNarrow;
  Calm() = default;
  explicit Calm(double room)
      : noise(std::min(kNoise, room / 3)), ticks(std::min(kTicks, room / 3)), narrow(std::min(kNarrow, room)) {}
};

double pace_of(const Pace& pace, int busy, const FullSpeed& full, const Calm& calm) {
  const double rate = full.fastest(pace, busy) / pace.spin;
  return rate > 1 - calm.noise ? 1 : rate;
}

double kept(const Measurement& m, const Calm& calm) { return m.kept > 1 - calm.ticks ? 1 : std::max(m.kept, 0.0); }

// The lowest and the highest pace. Of workers with a fixed share of the work each: those of the slowest.
Interval range(const Measurement& m, int busy, const FullSpeed& full, const Calm& calm, bool fixed_shares) {
  Interval found{1, 1}, slowest{1, 1};
  bool first = true;
  for (const Paces& worker : m.paces) {
    const double a = pace_of(worker.before, busy, full, calm), b = pace_of(worker.after, busy, full, calm);
    if (first || a + b < slowest.low + slowest.high) slowest = {std::min(a, b), std::max(a, b)};
    found = first ? slowest : Interval{std::min({found.low, a, b}), std::max({found.high, a, b})};
    first = false;
  }
  return fixed_shares && !m.floating ? slowest : found;
}

// The share of a time that is left at full speed, of what ran at `pace` and feels so much of what the yardstick feels.
double left(const Measurement& m, double pace, double felt) {
  return (1 - m.cpu_share) + m.cpu_share / (1 + felt * (1 / pace - 1));
}

// A time, or a counter named for a unit of time, may be less on an undisturbed machine; counts and shares are what they
// are.
bool is_time(const Value& value) {
  const std::string& name = value.counter;
  return name.empty() || name == "cpu_time" || name.ends_with("_ns") || name.ends_with("_us") ||
         name.ends_with("_ms") || name.ends_with("_s");
}

double read(const Measurement& m, const Value& value) {
  if (value.counter.empty()) return m.seconds;
  if (value.counter == "cpu_time") return m.cpu_seconds;
  const auto found = m.counters.find(value.counter);
  return found == m.counters.end() ? std::nan("") : found->second;
}

// Sides that keep equally many CPUs busy are compared with the best of as many; a claim by the clock takes each side as
// its own number of busy CPUs lets it be.
int busy_of(const Measurement& m, bool alike) { return alike ? m.busy : 0; }

Ends ends(const Point& point, std::vector<const Measurement*> inputs, const FullSpeed& full, const Calm& calm,
          bool alike) {
  Ends out{.low = std::numeric_limits<double>::infinity(),
           .high = -std::numeric_limits<double>::infinity(),
           .inputs = std::move(inputs)};
  const std::size_t n = out.inputs.size();
  std::vector<double> times(n), numbers(n);
  for (std::size_t i = 0; i < n; ++i) times[i] = read(*out.inputs[i], point.inputs[i]);
  out.by_the_clock = point.compute(times);
  const std::vector<double> feelings = point.code == Code::any    ? std::vector{1.0}
                                       : point.code == Code::same ? std::vector{0.0, 1.0}
                                                                  : std::vector{kOwnKernel, 1.0};
  for (const double felt : feelings) {
    std::vector<Interval> possible(n);
    for (std::size_t i = 0; i < n; ++i) {
      const Measurement& m = *out.inputs[i];
      possible[i] = {times[i], times[i]};
      if (!is_time(point.inputs[i])) continue;
      const Interval pace = range(m, busy_of(m, alike), full, calm, point.code == Code::own);
      possible[i].low *= kept(m, calm) * left(m, pace.low, felt);
      if (point.code != Code::any) possible[i].high *= left(m, pace.high, felt);
    }
    for (std::size_t corner = 0; corner < std::size_t{1} << n; ++corner) {
      for (std::size_t i = 0; i < n; ++i) numbers[i] = corner >> i & 1 ? possible[i].high : possible[i].low;
      const double number = point.compute(numbers);
      out.low = std::min(out.low, number);
      out.high = std::max(out.high, number);
    }
  }
  out.narrow = out.width() < 1 + calm.narrow;
  return out;
}

}  // namespace

double Ends::width() const { return low == high ? 1 : low > 0 ? high / low : std::numeric_limits<double>::infinity(); }

FullSpeed::FullSpeed(std::span<const Measurement> all) {
  for (const Measurement& m : all) {
    for (const Paces& worker : m.paces) {
      for (const Pace& pace : {worker.before, worker.after}) {
        const auto [place, fresh] = fastest_.try_emplace({pace.kind, m.busy}, pace.spin);
        if (!fresh) place->second = std::min(place->second, pace.spin);
      }
    }
  }
}

double FullSpeed::fastest(const Pace& pace, int busy) const {
  double fastest = pace.spin;
  for (auto at = fastest_.lower_bound({pace.kind, busy}); at != fastest_.end() && at->first.first == pace.kind; ++at)
    fastest = std::min(fastest, at->second);
  return fastest;
}

std::vector<Ends> pair_up(const Point& point, std::span<const Measurement> all, const FullSpeed& full) {
  std::vector<std::vector<const Measurement*>> sides;
  std::set<int> busy;
  for (const Value& value : point.inputs) {
    std::vector<const Measurement*>& side = sides.emplace_back();
    for (const Measurement& m : all) {
      if (m.variant != value.variant || !m.wrong.empty()) continue;
      side.push_back(&m);
      busy.insert(m.busy);
    }
  }
  const bool alike = busy.size() == 1 || point.clock;
  const Calm calm(room(point));
  std::size_t pairs = sides.empty() ? 0 : SIZE_MAX;
  for (auto& side : sides) {
    // A tie keeps the order of the rounds, so that on an undisturbed machine the pairs are the rounds.
    std::stable_sort(side.begin(), side.end(), [&](const Measurement* a, const Measurement* b) {
      const auto calmness = [&](const Measurement& m) {
        const Interval pace = range(m, busy_of(m, alike), full, calm, point.code == Code::own);
        return kept(m, calm) * pace.low * pace.high;
      };
      const double calm_a = calmness(*a), calm_b = calmness(*b);
      return calm_a != calm_b ? calm_a > calm_b : a->round < b->round;
    });
    pairs = std::min(pairs, side.size());
  }
  std::vector<Ends> found;
  for (std::size_t i = 0; i < pairs; ++i) {
    std::vector<const Measurement*> inputs;
    for (const auto& side : sides) inputs.push_back(side[i]);
    Ends pair = ends(point, std::move(inputs), full, calm, alike);
    if (std::isfinite(pair.low) && std::isfinite(pair.high)) found.push_back(std::move(pair));
  }
  std::stable_sort(found.begin(), found.end(), [](const Ends& a, const Ends& b) { return a.width() < b.width(); });
  return found;
}

bool more_rounds(const std::vector<Ends>& pairs) {
  return static_cast<std::size_t>(std::count_if(pairs.begin(), pairs.end(), [](const Ends& e) { return e.narrow; })) <
         kMostPairs;
}

std::size_t used_pairs(const std::vector<Ends>& pairs, double confidence) {
  const auto narrow =
      static_cast<std::size_t>(std::count_if(pairs.begin(), pairs.end(), [](const Ends& e) { return e.narrow; }));
  std::size_t used = std::clamp(narrow, kLeastPairs, kMostPairs);
  while (used < pairs.size() && !median_interval(std::vector<double>(used), confidence)) ++used;
  return std::min(used, pairs.size());
}

std::optional<Interval> interval(const std::vector<Ends>& pairs, double confidence) {
  std::vector<double> low, high;
  for (std::size_t i = 0; i < used_pairs(pairs, confidence); ++i) {
    low.push_back(pairs[i].low);
    high.push_back(pairs[i].high);
  }
  const auto below = median_interval(low, confidence), above = median_interval(high, confidence);
  if (low.size() < kLeastRounds || !below) return std::nullopt;
  return Interval{below->low, above->high};
}

std::string disturbance(std::span<const Ends> pairs, const FullSpeed& full) {
  double worst_kept = 1;
  std::map<int, Interval> by_cpu;
  for (const Ends& pair : pairs) {
    for (const Measurement* m : pair.inputs) {
      worst_kept = std::min(worst_kept, kept(*m, {}));
      for (const Paces& worker : m->paces) {
        for (const Pace& pace : {worker.before, worker.after}) {
          const double rate = pace_of(pace, 0, full, {});
          const auto [at, fresh] = by_cpu.try_emplace(pace.cpu, Interval{rate, rate});
          if (!fresh) at->second = {std::min(at->second.low, rate), std::max(at->second.high, rate)};
        }
      }
    }
  }
  if (worst_kept < 1) return fmt::format("others took up to {:.0f} % of a worker's CPU time", 100 * (1 - worst_kept));
  const auto slowest = std::min_element(by_cpu.begin(), by_cpu.end(),
                                        [](const auto& a, const auto& b) { return a.second.low < b.second.low; });
  if (slowest == by_cpu.end() || slowest->second.low == 1) return "";
  return fmt::format("CPU {} ran at {:.0f} to {:.0f} % of its speed", slowest->first, 100 * slowest->second.low,
                     100 * slowest->second.high);
}

Interval pace_range(const Measurement& m, const FullSpeed& full) { return range(m, m.busy, full, {}, false); }

}  // namespace lab
