// Lab 01 · Cores: how many workers should a pool have?                              about 20 s
//
// Question   A job of equal, independent pieces is shared by 1, 2, 4, 8, 16 processes. When does it stop getting faster?
// Predict    The number of workers from which on more of them do not help.
// Run        make lab-01
// Vary       --workers 1,2,3,5,8 · taskset -c 0 build/bin/01_cores · make doctor
// Book       Mastering Python, 2nd ed., "Hyper-threading versus physical CPU cores";
//            High Performance Python, 3rd ed., chapter "The multiprocessing Module" (Amdahl's law, estimating pi)
#include <fmt/format.h>

#include "amdahl.hpp"
#include "common/harness/lab.hpp"
#include "counts.hpp"

namespace {

constexpr std::uint64_t kCounts = 10'000'000;  // of one job, as in the book; 128 small jobs have a hundredth each

int cores() { return lab::machine().workers(); }
int equal_job_count() { return lab::cores::divisible_jobs(8, cores()); }

void share_jobs(benchmark::State& state, int jobs, std::uint64_t counts) {
  const int workers = static_cast<int>(state.range(0));
  const auto reports = lab::team(state, lab::Vehicle::processes, workers, [=](int worker) {
    std::uint64_t done = 0;
    for (int job = worker; job < jobs; job += workers, ++done) lab::busy_wait(counts);
    return done;
  });
  std::uint64_t done = 0;
  for (const lab::Report& report : reports) done += report.answer;
  lab::expect(state, done == jobs * static_cast<std::uint64_t>(state.max_iterations),
              "some jobs were not done exactly once");
}

void serial(benchmark::State& state) {
  for (auto _ : state) {
    for (int job = 0; job < equal_job_count(); ++job) lab::busy_wait(kCounts);
  }
}
BENCHMARK(serial)->Apply(lab::busy);

void equal_jobs(benchmark::State& state) { share_jobs(state, equal_job_count(), kCounts); }
BENCHMARK(equal_jobs)->Apply(lab::busy_with<lab::each_worker_count>);

void small_jobs(benchmark::State& state) { share_jobs(state, lab::cores::divisible_jobs(128, cores()), kCounts / 100); }
BENCHMARK(small_jobs)->Apply(lab::busy_with<lab::each_worker_count>);

void serial_share(benchmark::State& state) {
  const int percent = static_cast<int>(state.range(0)), workers = static_cast<int>(state.range(1));
  const lab::Shared<std::atomic<std::uint64_t>> serial_parts_done(0u);
  lab::team(state, lab::Vehicle::processes, workers,
            lab::cores::SerialShareJob(8 * kCounts, percent, workers, *serial_parts_done));
}
void shares_and_cores(lab::Family* family, const lab::Options& options) {
  family->ArgNames({"percent", "workers"});
  for (const int percent : {0, 5, 25, 50}) {
    for (const std::int64_t workers : lab::worker_counts(options)) {
      if (workers <= cores()) family->Args({percent, workers});
    }
  }
}
BENCHMARK(serial_share)->Apply(lab::busy_with<shares_and_cores>);

std::string at(const char* variant, std::int64_t workers) { return fmt::format("{}/workers:{}", variant, workers); }

lab::Measure no_count_is_faster(const lab::Options& options) {
  std::vector<lab::Point> points;
  for (const std::int64_t w : lab::worker_counts(options)) {
    if (w != cores())
      points.push_back(lab::ratio(at("equal_jobs", cores()), at("equal_jobs", w))
                           .at_most(1.05)
                           .own_kernel()
                           .by_the_clock()
                           .labelled(fmt::format("against {} workers", w)));
  }
  return lab::model(points);
}

lab::Measure follows_amdahl(const lab::Options& options) {
  std::vector<lab::Point> points;
  for (const int percent : {0, 5, 25, 50}) {
    for (const std::int64_t w : lab::worker_counts(options)) {
      if (w == 1 || w > cores()) continue;
      const double predicted = lab::cores::amdahl(percent / 100.0, static_cast<int>(w));
      points.push_back(lab::compute({fmt::format("serial_share/percent:{}/workers:1", percent),
                                     fmt::format("serial_share/percent:{}/workers:{}", percent, w)},
                                    [=](std::span<const double> t) { return t[0] / t[1] / predicted; })
                           .within(0.9, 1.1)
                           .own_kernel()
                           .labelled(fmt::format("{} % serial, {} workers", percent, w)));
    }
  }
  return lab::model(points);
}

lab::Seen counts_disagree() {
  const bool differ = lab::cores::counts_differ(lab::machine());
  return {differ, differ ? "see the table above"
                         : fmt::format("every question is answered by {} on this machine", lab::machine().online)};
}

lab::Lab experiment(const lab::Options& options) {
  using namespace lab;
  const int p = machine().workers(), threads = machine().allowed_threads();
  return {
      .title = "Cores: how many workers should a pool have?",
      .question = "Equal, independent jobs are shared by 1, 2, 4, 8, 16 processes. When does it stop getting faster?",
      .rows = {{.name = "all jobs in the main process", .value = "serial"},
               {.name = "in 1 worker process", .value = at("equal_jobs", 1)},
               {.name = fmt::format("in {} workers, one a core", p), .value = at("equal_jobs", p)},
               {.name = fmt::format("speed-up by {} workers", p),
                .value = ratio(at("equal_jobs", 1), at("equal_jobs", p)),
                .unit = "x",
                .ask = "How many times as fast are the jobs done with one worker on each core?"},
               {.name = "speed-up by 16 workers",
                .value = ratio(at("equal_jobs", 1), at("equal_jobs", 16)),
                .unit = "x",
                .ask = "How many times as fast with 16 workers?"},
               {.name = fmt::format("speed-up by {} workers, a quarter serial", p),
                .value =
                    ratio("serial_share/percent:25/workers:1", fmt::format("serial_share/percent:25/workers:{}", p)),
                .unit = "x",
                .ask = "How many times as fast is a job of which a quarter is serial?"}},
      .claims =
          {{.id = "cores.linear",
            .text = fmt::format("With one worker on each of {} cores the jobs are done {} times as fast", p, p),
            .measure = ratio(at("equal_jobs", 1), at("equal_jobs", p)).within(0.9 * p, 1.05 * p).own_kernel(),
            .book =
                Book{3.58, 3.93, "Mastering Python, 1st ed.; High Performance Python, 1st ed.: 4 processes on 4 cores"},
            .because = "jobs that share nothing wait for nobody",
            .needs = needs_cores(2) + needs_equal_cores()},
           {.id = "cores.knee",
            .text = "No other number of workers is more than 5 % faster than one a physical core",
            .measure = no_count_is_faster(options),
            .book = Book{0.93, 0.94,
                         "Mastering Python, 1st ed.: 4 workers against 8 and 16 on 4 cores, 8 hardware threads"},
            .because = "a core that is busy has nothing left to give"},
           {.id = "cores.busy_is_not_fast",
            .text = "With all hardware threads busy, throughput is at most 10 % above that of one worker a core",
            .measure = ratio(at("small_jobs", p), at("small_jobs", threads)).at_most(1.10).own_kernel().by_the_clock(),
            .book =
                Book{0.97, 1.04,
                     "High Performance Python, 1st and 2nd ed.: 8 processes against 4 on 4 cores, 8 hardware threads"},
            .because = "two hardware threads share one core's units: busy is not fast",
            .needs = needs_hardware_threads()},
           {.id = "cores.amdahl",
            .text = fmt::format("Serial shares of 0, 5, 25, 50 % slow the job down as Amdahl's law says (measured "
                                "over predicted); with 5 % no machine ever exceeds {:.0f}x",
                                cores::amdahl_ceiling(0.05)),
            .measure = follows_amdahl(options),
            .because = "while one worker does the serial part the others can only wait",
            .needs = needs_cores(2) + needs_equal_cores()},
           {.id = "cores.one_is_serial",
            .text = "One worker process takes as long as the serial loop",
            .measure = ratio(at("equal_jobs", 1), "serial").within(0.95, 1.05).own_kernel(),
            .book = Book{1.0, 1.0, "High Performance Python, 1st ed.: 110 s and 110 s"},
            .because = "a process computes as fast as its parent; only starting it costs"},
           {.id = "cores.count_is_not_cores",
            .text = "The counts of CPUs, hardware threads, cores and quota do not agree",
            .measure = fact(counts_disagree)}},
      .floors = {{at("equal_jobs", 1), "serial"}},
      .tables = {{"counts", [] { return cores::counts_table(machine()); }},
                 {"drawing", [] { return cores::drawing(machine()); }}}};
}

}  // namespace

int main(int argc, char** argv) { return lab::run(argc, argv, experiment); }
