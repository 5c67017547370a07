#include "common/harness/measure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <stdexcept>

namespace lab {
namespace {

constexpr double kMostLost = 0.95;  // a time of which nothing is left would be no number

// The measurement that runs now. The library hands a benchmark nothing but its State, so this is how team() and timed()
// reach what they fill in.
struct Running {
  Measurement* measurement = nullptr;
  const Yardstick* yardstick = nullptr;
  Kind kind = Kind::busy;
  std::optional<double> team_seconds, timed_seconds, kept;
} running;

// Keeps what the library reports instead of printing it.
class Collector : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& reported) override {
    runs.insert(runs.end(), reported.begin(), reported.end());
  }
  std::vector<Run> runs;
};

// Why a run was not finished; empty when it was. The members were renamed in the library's version 1.8.
template <class Run>
std::string complaint(const Run& run) {
  if constexpr (requires { run.error_occurred; }) {
    return run.error_occurred ? run.error_message : "";
  } else {
    return run.skipped ? run.skip_message : "";
  }
}

}  // namespace

std::optional<double> kept_by(const std::vector<Report>& reports, bool each_for_itself) {
  std::int64_t start = reports.front().begin;
  for (const Report& r : reports) start = std::min(start, r.begin);
  double worst = 0, sum = 0;
  for (const Report& r : reports) {
    if (r.waited < 0 && !each_for_itself) return std::nullopt;
    const std::int64_t late = each_for_itself ? r.begin - start : 0;
    const auto time = static_cast<double>(std::max<std::int64_t>(r.end - r.begin + late, 1));
    const double lost =
        r.waited < 0 ? 1 - static_cast<double>(r.cpu) / time : static_cast<double>(r.waited + late) / time;
    worst = std::max(worst, lost);
    sum += lost;
  }
  return 1 - std::min(kMostLost, each_for_itself ? worst : sum);
}

std::vector<Report> team(benchmark::State& state, Vehicle vehicle, int size, std::function<std::uint64_t(int)> work) {
  Measurement& m = *running.measurement;
  const std::vector<int> cpus = place(machine(), size), all = allowed_cpus();
  const bool placed = !cpus.empty(), busy = running.kind == Kind::busy;

  Team spec{.size = size, .vehicle = vehicle};
  spec.prepare = [&](int worker) { bind_to(placed ? std::vector{cpus[worker]} : all); };
  spec.frame = [&](bool patient) {
    return (patient ? running.yardstick->steady_pace() : running.yardstick->pace()).spin;
  };
  spec.spin = placed && busy;

  std::vector<Report> reports;
  const double served = servers_cpu_seconds();
  while (state.KeepRunningBatch(state.max_iterations)) {
    reports = run_team(spec, [work, n = state.max_iterations](int worker) {
      std::uint64_t answers = 0;
      for (benchmark::IterationCount i = 0; i < n; ++i) answers += work(worker);
      return answers;
    });
  }
  if (reports.empty()) return std::vector<Report>(size);  // the benchmark was marked as wrong before it began
  std::int64_t begin = reports.front().begin, end = 0, cpu = 0;
  m.paces.clear();
  for (const Report& r : reports) {
    begin = std::min(begin, r.begin);
    end = std::max(end, r.end);
    cpu += r.cpu;
    m.paces.push_back({{r.first_cpu, kind_of(r.first_cpu), r.before}, {r.last_cpu, kind_of(r.last_cpu), r.after}});
  }
  const double seconds = 1e-9 * static_cast<double>(end - begin);
  running.team_seconds = seconds;
  const double worked = 1e-9 * static_cast<double>(cpu);
  m.cpu_seconds = worked + std::max(0.0, servers_cpu_seconds() - served);  // a slow server slows who waits for it
  m.floating = !placed;
  m.busy = placed ? size : static_cast<int>(all.size());
  m.cpu_share = busy ? 1 : std::min(1.0, m.cpu_seconds / seconds);
  running.kept = kept_by(reports, placed && busy);
  m.counters["workers"] = size;
  m.counters["cpu_over_wall"] = worked / seconds;
  return reports;
}

void timed(double seconds) { running.timed_seconds = seconds; }

void expect(benchmark::State& state, bool right, const std::string& otherwise) {
  if (!right) state.SkipWithError(otherwise.c_str());
}

Measured measure(Family* family, const std::string& variant, Kind kind, std::int64_t iterations,
                 const Yardstick& yardstick, ForeignLoad& foreign) {
  Measurement m{.variant = variant, .iterations = iterations};
  running = {&m, &yardstick, kind};
  family->Iterations(iterations);

  // A single-threaded variant has the main thread to itself on one core; what blocks, or starts workers, may use all.
  const bool busy = kind == Kind::busy;
  std::vector<Pace> before, after;
  if (busy) {
    bind_to(std::array{machine().cores.front().cpus.front()});
    before = {yardstick.steady_pace()};
  } else {
    before = visit_cores(yardstick);
  }
  const double wall = seconds_of(CLOCK_MONOTONIC), cpu = own_cpu_seconds();
  Collector collector;
  // The library adds what is fixed about the run to the name.
  benchmark::RunSpecifiedBenchmarks(&collector, fmt::format("^{}/iterations:{}/real_time$", variant, iterations));
  const double cpu_used = own_cpu_seconds() - cpu, wall_used = seconds_of(CLOCK_MONOTONIC) - wall;
  foreign.sample();

  if (collector.runs.size() != 1) throw std::logic_error("the benchmark library ran no variant named " + variant);
  const auto& run = collector.runs.front();
  if (const std::string sentence = complaint(run); !sentence.empty()) m.wrong = variant + ": " + sentence;
  const auto n = static_cast<double>(iterations);
  const double seconds = running.team_seconds.value_or(run.real_accumulated_time);
  if (!running.team_seconds) {  // the main thread did it, or others that it started
    after = busy ? std::vector{yardstick.pace()} : visit_cores(yardstick);
    for (std::size_t i = 0; i < before.size(); ++i) m.paces.push_back({before[i], after[i]});
    m.floating = m.paces.size() > 1;
    m.cpu_seconds = busy ? run.cpu_accumulated_time : cpu_used;
    m.cpu_share = busy ? 1 : std::min(1.0, cpu_used / std::max(seconds, 1e-9));
    if (busy) running.kept = std::min(1.0, cpu_used / wall_used);
  }
  // Others can have taken no more than they used. What a placed worker that computes has waited is exact; those that wait
  // for each other, or share CPUs, have waited for each other, too.
  const double free = 1 - std::min(kMostLost, foreign.share());
  m.kept = !running.kept ? free : busy && !m.floating ? *running.kept : std::max(free, *running.kept);
  // Busy workers that share CPUs had together what the CPUs gave.
  if (running.team_seconds && m.floating && busy)
    m.kept = std::max(m.kept, std::min(1.0, m.counters["cpu_over_wall"] / m.busy));
  m.seconds = running.timed_seconds.value_or(seconds) / n;
  m.cpu_seconds /= n;
  for (const auto& [name, counter] : run.counters) m.counters[name] = counter.value;
  return {std::move(m), seconds};
}

}  // namespace lab
