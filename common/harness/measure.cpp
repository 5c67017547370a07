#include "common/harness/measure.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace lab {
namespace {

// What team() needs to know of the measurement it runs in, and where it leaves its evidence.
struct Present {
  Raw* raw = nullptr;
  const Yardstick* yardstick = nullptr;
  bool by_team = false, timed = false;
  double own_seconds = 0, own_cpu = 0;  // of a team, or of a variant that times itself
} present;

// Keeps what the library reports instead of printing it.
class Collector : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& reported) override {
    runs.insert(runs.end(), reported.begin(), reported.end());
  }
  std::vector<Run> runs;
};

// What a variant said of its wrong answer; nothing when it was right. Version 1.8 of the library renamed both members.
template <class Run>
std::optional<std::string> complaint(const Run& run) {
  if constexpr (requires { run.skipped; }) {
    if (run.skipped) return run.skip_message;
  } else {
    if (run.error_occurred) return run.error_message;
  }
  return std::nullopt;
}

}  // namespace

std::vector<Report> team(benchmark::State& state, Vehicle vehicle, int size, std::function<std::uint64_t(int)> work) {
  Raw& raw = *present.raw;
  const Yardstick& yardstick = *present.yardstick;
  const std::vector<int> cpus = place(machine(), size), all = allowed_cpus();
  const bool placed = !cpus.empty();
  const bool shared = size > machine().allowed_cores() && static_cast<int>(all.size()) > machine().allowed_cores();
  raw.oversubscribed = !placed;

  Team spec{.size = size, .vehicle = vehicle};
  spec.prepare = [&](int worker) { bind_to(placed ? std::vector{cpus[worker]} : all); };
  spec.frame = [&](bool patient) {
    if (!placed) return yardstick.spin(CLOCK_THREAD_CPUTIME_ID);
    return patient ? yardstick.at_speed(yardstick.group_of(::sched_getcpu(), shared)) : yardstick.spin();
  };
  spec.spin = placed && raw.kind == Kind::busy;

  std::vector<Report> reports;
  while (state.KeepRunningBatch(state.max_iterations)) {
    reports = run_team(spec, [work, n = state.max_iterations](int worker) {
      std::uint64_t answers = 0;
      for (benchmark::IterationCount i = 0; i < n; ++i) answers += work(worker);
      return answers;
    });
  }
  std::int64_t begin = reports.front().begin, end = 0, cpu = 0;
  raw.on_cpu = 1;
  for (int worker = 0; worker < size; ++worker) {
    const Report& r = reports[worker];
    begin = std::min(begin, r.begin);
    end = std::max(end, r.end);
    cpu += r.cpu;
    raw.on_cpu = std::min(raw.on_cpu,
                          static_cast<double>(r.cpu) / static_cast<double>(std::max<std::int64_t>(r.end - r.begin, 1)));
    raw.moved = raw.moved || (placed && (r.first_cpu != cpus[worker] || r.last_cpu != cpus[worker]));
    raw.paces.push_back({r.first_cpu, yardstick.group_of(r.first_cpu, shared), r.before});
    raw.paces.push_back({r.last_cpu, yardstick.group_of(r.last_cpu, shared), r.after});
  }
  present.by_team = true;
  present.own_seconds = 1e-9 * static_cast<double>(end - begin);
  present.own_cpu = 1e-9 * static_cast<double>(cpu);
  raw.measurement.counters["workers"] = size;
  raw.measurement.counters["cpu_over_wall"] = present.own_cpu / present.own_seconds;
  return reports;
}

void timed(double seconds) {
  present.timed = true;
  present.own_seconds = seconds;
}

void expect(benchmark::State& state, bool right, const std::string& otherwise) {
  if (!right) state.SkipWithError(otherwise.c_str());
}

Raw measure(Family* family, const std::string& variant, Kind kind, std::int64_t iterations,
            Yardstick& yardstick, ForeignLoad& foreign) {
  Raw raw{.kind = kind};
  raw.measurement.variant = variant;
  raw.measurement.iterations = iterations;
  present = {&raw, &yardstick};
  family->Iterations(iterations);

  // A single-threaded variant has the main thread to itself on one core; what blocks, or starts workers, may use all.
  const int home = machine().cores.front().cpus.front();
  bind_to(kind == Kind::busy ? std::vector{home} : allowed_cpus());
  const int group = yardstick.group_of(home, false);
  const double before = yardstick.at_speed(group);
  const double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  Collector collector;
  // The library adds what is fixed about the run to the name.
  benchmark::RunSpecifiedBenchmarks(&collector, fmt::format("^{}/iterations:{}/real_time$", variant, iterations));
  const double wall_used = seconds_of(CLOCK_MONOTONIC) - wall, cpu_used = seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
  if (!present.by_team) {
    raw.paces = {{home, group, before}, {home, group, yardstick.spin()}};
    raw.on_cpu = cpu_used / wall_used;
  }
  foreign.sample();
  raw.foreign = foreign.share();
  if (!raw.oversubscribed) yardstick.learn(raw.paces);

  if (collector.runs.size() != 1) throw std::logic_error("the benchmark library ran no variant named " + variant);
  const auto& run = collector.runs.front();
  if (const auto wrong = complaint(run)) raw.wrong = variant + ": " + *wrong;
  const auto n = static_cast<double>(iterations);
  raw.seconds = present.by_team ? present.own_seconds : run.real_accumulated_time;
  raw.measurement.seconds = (present.timed ? present.own_seconds : raw.seconds) / n;
  raw.measurement.cpu_seconds = (present.by_team ? present.own_cpu : run.cpu_accumulated_time) / n;
  for (const auto& [name, counter] : run.counters) raw.measurement.counters[name] = counter.value;
  return raw;
}

}  // namespace lab
