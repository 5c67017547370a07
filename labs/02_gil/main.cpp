// Lab 02 · The GIL: do threads make an interpreter faster?                          about 25 s
//
// Question   How long do two countdowns take in two threads under a lock? And in two processes?
// Predict    The speed-up of two threads, and what a busy thread does to its neighbour that waits for the network.
// Run        make lab-02
// Vary       instruction_counts, check points (interpreter.hpp); drop() without its forced switch (gil.hpp)
// Book       Mastering Python, 1st ed., "Multithreading" and "Multiprocessing";
//            High Performance Python, 1st to 3rd ed., "The multiprocessing Module" (pi with threads and processes)
#include <fmt/format.h>

#include <mutex>
#include <set>
#include <thread>

#include "common/harness/lab.hpp"
#include "common/harness/statistics.hpp"
#include "floors.hpp"
#include "gil.hpp"
#include "holders.hpp"
#include "interpreter.hpp"
#include "lost_update.hpp"
#include "old_gil.hpp"
#include "slow_peer.hpp"

namespace {

using namespace lab::gil;
constexpr std::int64_t kCount = 200'000;  // a countdown of about 12 ms: more than two switch intervals

void two_and_four(lab::Family* family, const lab::Options&) { family->ArgName("threads")->Arg(2)->Arg(4); }

// Each worker counts down once, under one lock for all; the old lock's tick is an instruction.
template <class Lock>
void countdowns(benchmark::State& state, lab::Vehicle vehicle) {
  Lock lock;
  const auto check = std::is_same_v<Lock, OldGil> ? CheckPoints::every_instruction : CheckPoints::back_edges_and_calls;
  const auto reports = lab::team(state, vehicle, static_cast<int>(state.range(0)), [&](int) {
    Globals globals;
    return static_cast<std::uint64_t>(run(countdown(kCount), lock, globals, check));
  });
  std::set<int> cpus;
  for (const lab::Report& r : reports) {
    lab::expect(state, r.answer == 0, "a countdown did not end at 0");
    cpus.insert({r.first_cpu, r.last_cpu});
  }
  state.counters["cpus"] = static_cast<double>(cpus.size());
}

void serial(benchmark::State& state) {
  NoLock no_lock;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      Globals globals;
      lab::expect(state, run(countdown(kCount), no_lock, globals) == 0, "a countdown did not end at 0");
    }
  }
}
BENCHMARK(serial)->Apply(lab::busy_with<two_and_four>);
void threads_under_gil(benchmark::State& state) { countdowns<Gil>(state, lab::Vehicle::threads); }
BENCHMARK(threads_under_gil)->Apply(lab::blocking_with<two_and_four>);
void threads_under_old_gil(benchmark::State& state) { countdowns<OldGil>(state, lab::Vehicle::threads); }
BENCHMARK(threads_under_old_gil)->Apply(lab::blocking_with<two_and_four>);
void threads_without_lock(benchmark::State& state) { countdowns<NoLock>(state, lab::Vehicle::threads); }
BENCHMARK(threads_without_lock)->Apply(lab::busy_with<two_and_four>);
void processes(benchmark::State& state) { countdowns<Gil>(state, lab::Vehicle::processes); }  // a lock each
BENCHMARK(processes)->Apply(lab::busy_with<two_and_four>);

// A thread that asks a peer and gets its answer 1 ms later, beside threads that only compute.
void io_beside(benchmark::State& state) {
  const auto computing = static_cast<int>(state.range(0)), interval_us = static_cast<int>(state.range(1));
  const int trips = std::clamp(75'000 / (interval_us * computing + 1000), 3, 20);
  const SlowPeer peer;
  Gil gil{std::chrono::microseconds(interval_us)};
  Globals globals;
  globals.x = 1;  // the others compute as long as it is
  std::vector<double> microseconds;
  lab::team(state, lab::Vehicle::threads, 1 + computing, [&](int worker) -> std::uint64_t {
    if (worker > 0) return static_cast<std::uint64_t>(run(spin_while_x(), gil, globals));
    microseconds = round_trips(peer, gil, trips);
    globals.x = 0;
    return 0;
  });
  state.counters["round_trip_s"] = 1e-6 * lab::median(microseconds);
}
void neighbours_and_intervals(lab::Family* family, const lab::Options& options) {
  family->ArgNames({"cpu_threads", "interval_us"})
      ->Args({0, 5000})
      ->ArgsProduct({{1, 2}, {500, 5000}})
      ->Args({1, 50'000});
  if (options.full()) family->Args({2, 50'000});
}
BENCHMARK(io_beside)->Apply(lab::blocking_with<neighbours_and_intervals>);

void blocked_threads(benchmark::State& state) {
  Gil gil;
  lab::team(state, lab::Vehicle::threads, static_cast<int>(state.range(0)), [&](int) {
    const Held held(gil);
    const Released released(gil);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return std::uint64_t{0};
  });
}
BENCHMARK(blocked_threads)
    ->Apply(lab::blocking_with<[](lab::Family* f, const lab::Options&) { f->ArgName("threads")->Arg(1)->Arg(8); }>);

void gil_pair(benchmark::State& state) {
  Gil gil;
  beside_a_sleeping_thread(state, [&] { gil.take(), gil.drop(); });
}
BENCHMARK(gil_pair)->Apply(lab::busy);
void mutex_pair(benchmark::State& state) {
  std::mutex mutex;
  beside_a_sleeping_thread(state, [&] { mutex.lock(), mutex.unlock(); });
}
BENCHMARK(mutex_pair)->Apply(lab::busy);

void forced_hand_over(benchmark::State& state) { between_two_cores<ForcedHandOver>(state); }
BENCHMARK(forced_hand_over)->Apply(lab::blocking);
void two_futex_wake_ups(benchmark::State& state) { between_two_cores<TwoFutexWakeUps>(state); }
BENCHMARK(two_futex_wake_ups)->Apply(lab::blocking);

lab::Seen updates_are_lost() {
  const LostUpdates lost;
  return {.holds = lost.inside > 0 && lost.outside == 0,
          .what = fmt::format("{} of {} increments lost with a check point inside x += 1, {} with none", lost.inside,
                              3 * lost.times, lost.outside),
          .known = lost.inside > 0 || lost.outside > 0};
}

lab::Point speed_up(const char* of, int threads = 2) {
  return lab::ratio(fmt::format("serial/threads:{}", threads), fmt::format("{}/threads:{}", of, threads));
}
lab::Point added_wait(int interval_us) {
  return lab::compute({{fmt::format("io_beside/cpu_threads:1/interval_us:{}", interval_us), "round_trip_s"},
                       {"io_beside/cpu_threads:0/interval_us:5000", "round_trip_s"}},
                      [=](std::span<const double> s) { return 1e6 * (s[0] - s[1]) / interval_us; })
      .within(0.75, 1.25)
      .labelled(fmt::format("interval {} ms", interval_us / 1000));
}

lab::Lab experiment(const lab::Options&) {
  using namespace lab;
  const int p = machine().workers() >= 4 ? 4 : 2;
  return {
      .title = "The GIL: do threads make an interpreter faster?",
      .question = "Two countdowns: in turn, in two threads under a lock, in two processes. Which is fastest?",
      .rows = {{"two countdowns, one after the other", "serial/threads:2"},
               {"two threads under the lock", speed_up("threads_under_gil"), "x",
                "How many times as fast are two threads under the lock?"},
               {"two threads under the old lock", speed_up("threads_under_old_gil"), "x", "And under the old lock?"},
               {"two processes", speed_up("processes"), "x", "And two processes?"},
               {"round trip beside a busy thread", Value("io_beside/cpu_threads:1/interval_us:5000", "round_trip_s"),
                "", "How long does a round trip of 1 ms take beside one busy thread?"}},
      .claims =
          {{.id = "gil.no_speedup",
            .text = "Two threads under the lock are no faster than one countdown after the other",
            .measure = speed_up("threads_under_gil").at_most(1.05).same_code(),
            .book = Book{1.0, 1.01, "High Performance Python, 2nd ed., 1 to 8 threads; Mastering Python, 1st ed."},
            .because = "only the holder of the lock computes"},
           {.id = "gil.processes",
            .text = fmt::format("{} processes are {} times as fast", p, p),
            .measure = speed_up("processes", p).within(0.9 * p, 1.05 * p).same_code(),
            .book = Book{3.9, 3.93, "High Performance Python, 1st, 2nd ed.; Mastering Python, 1st ed.: 4 on 4 cores"},
            .because = "each process has an interpreter and a lock of its own",
            .needs = needs_cores(2) + needs_equal_cores()},
           {.id = "gil.one_at_a_time",
            .text = "Two threads run on two CPUs, yet their CPU time adds up to the elapsed time of one",
            .measure = model({ratio({"threads_under_gil/threads:2", "cpu_time"}, "threads_under_gil/threads:2")
                                  .within(0.9, 1.1)
                                  .same_code()
                                  .labelled("time"),
                              Point(Value("threads_under_gil/threads:2", "cpus")).at_least(2).labelled("CPUs")}),
            .because = "while one computes the other waits for the lock",
            .needs = needs_cores(2)},
           {.id = "gil.old_is_worse",
            .text = "Two threads under the old, tick-counting lock are slower than one countdown after the other",
            .measure = ratio("threads_under_old_gil/threads:2", "serial/threads:2").at_least(1.05),
            .book = Book{1.31, 1.95, "High Performance Python, 1st ed.; Mastering Python, 1st ed.: 2 and 4 threads"},
            .because = "it wakes the waiter every 100 ticks and then mostly takes the lock again itself",
            .needs = needs_cores(2)},
           {.id = "gil.convoy",
            .text = "A busy thread adds one switch interval to its neighbour's round trip",
            .measure = model({added_wait(5000), added_wait(50'000)}),
            .because = "to get the lock back the neighbour waits an interval before it may even ask",
            .unit = " intervals"},
           {.id = "gil.blocking_overlaps",
            .text = "Eight threads that block take hardly longer than one",
            .measure = ratio("blocked_threads/threads:8", "blocked_threads/threads:1").at_most(1.2),
            .because = "the lock is dropped around a call that blocks"},
           {.id = "gil.lost_update",
            .text = "x += 1 loses updates when, and only when, a check point can fall inside it",
            .measure = correctness(updates_are_lost),
            .because = "load, add and store are three instructions"}},
      .floors = {{"gil_pair", "mutex_pair"}, {"forced_hand_over", "two_futex_wake_ups"}},
      .trace = [](Trace& trace) { record_both_locks(trace, 3 * kCount); }};
}

}  // namespace

int main(int argc, char** argv) { return lab::run(argc, argv, experiment); }
