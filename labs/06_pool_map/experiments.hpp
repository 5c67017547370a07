// The experiments: what is run in each variant. Which of them there are, and what is believed of them, is in main.cpp.
#pragma once

#include <sys/wait.h>

#include <deque>

#include "tasks.hpp"

namespace lab::pool {

using namespace std::chrono_literals;

// ---- What an empty task costs: an iteration is a task.

template <class AnyPool, std::vector<int> (*method)(AnyPool&, const std::vector<int>&)>
void empty_tasks(benchmark::State& state) {
  AnyPool pool(placed(static_cast<int>(state.range(0))));
  pool.template map<int>("same", numbers(100), 1);
  const auto items = numbers(state.max_iterations);
  std::vector<int> results;
  while (state.KeepRunningBatch(state.max_iterations)) results = method(pool, items);
  expect(state, results == items, "results are missing, wrong or out of order");
}

template <class AnyPool>
std::vector<int> by_apply(AnyPool& pool, const std::vector<int>& items) {
  std::vector<int> results;
  for (const int item : items) results.push_back(pool.template apply<int>("same", item));
  return results;
}
inline std::vector<int> by_apply_async(Pool& pool, const std::vector<int>& items) {
  std::vector<AsyncResult<int>> pending;
  for (const int item : items) pending.push_back(pool.apply_async<int>("same", std::tuple(item)));
  std::vector<int> results;
  for (const auto& result : pending) results.push_back(result.get(60s));
  return results;
}
template <class AnyPool>
std::vector<int> by_map(AnyPool& pool, const std::vector<int>& items) {
  return pool.template map_async<int>("same", items).get(60s);
}
inline std::vector<int> by_map_chunk_1(Pool& pool, const std::vector<int>& items) {
  return pool.map_async<int>("same", items, 1).get(60s);
}
inline std::vector<int> by_starmap(Pool& pool, const std::vector<int>& items) {
  return pool.starmap_async<int>("same", std::vector<std::tuple<int>>(items.begin(), items.end())).get(60s);
}
inline std::vector<int> by_imap(Pool& pool, const std::vector<int>& items) {
  std::vector<int> all;
  for (const int result : pool.imap<int>("same", items)) all.push_back(result);
  return all;
}
inline std::vector<int> by_imap_unordered(Pool& pool, const std::vector<int>& items) {
  std::vector<int> all;
  for (const int result : pool.imap_unordered<int>("same", items)) all.push_back(result);
  std::sort(all.begin(), all.end());
  return all;
}

// The floor: one byte to a process on another core, and back.
inline void pipe_round_trip(benchmark::State& state) {
  auto [their_in, our_out] = make_pipe();
  auto [our_in, their_out] = make_pipe();
  const auto [here, there] = two_cores();
  const pid_t pid = fork_child();
  if (pid == 0) {
    leave([&, &out = our_out, in = their_in.get(), back = their_out.get(), cpu = there] {
      out.reset();
      settle(cpu);
      for (std::array<std::byte, 1> byte; read_full(in, byte) == 1;) write_all(back, byte);
    });
  }
  settle(here);
  std::array<std::byte, 1> byte{};
  for (auto _ : state) {
    write_all(our_out.get(), byte);
    expect(state, read_full(our_in.get(), byte) == 1, "the other end is gone");
  }
  our_out.reset();
  wait_for_child(pid);
}

// A process for each task, as cheaply as can be: forked by a small parent, which starts many before it joins the first.
// The task comes by the fork, and no result is fetched.
inline void process_a_task(benchmark::State& state) {
  std::deque<pid_t> alive;
  const auto join_until = [&](std::size_t left) {
    for (; alive.size() > left; alive.pop_front()) {
      int status = 1;
      wait_for_child(alive.front(), &status);
      expect(state, status == 0, "a process failed");
    }
  };
  while (state.KeepRunningBatch(state.max_iterations)) {
    for (int i = 0; i < state.max_iterations; ++i, join_until(15)) {
      alive.push_back(fork_child());
      if (alive.back() == 0) leave([i] { benchmark::DoNotOptimize(same(i)); });
    }
    join_until(0);
  }
}

// ---- 64 uneven tasks: when does the first result come, when the last? The first task is the longest.
inline std::vector<int> uneven() {
  std::vector<int> waits{4000};
  for (int i = 1; i < 64; ++i) waits.push_back(100 + 37 * i % 64 * 8);
  return waits;
}
template <auto method>
void uneven_tasks(benchmark::State& state) {
  Pool pool(with(many()));
  const auto waits = uneven();
  double first = 0;
  for (auto _ : state) {
    const auto start = Clock::now();
    std::int64_t sum = 0;
    for (const int result : method(pool, waits)) {
      if (sum == 0) first += std::chrono::duration<double>(Clock::now() - start).count();
      sum += result;
    }
    expect(state, sum == std::accumulate(waits.begin(), waits.end(), std::int64_t{0}), "a result is missing");
  }
  state.counters["first_ms"] = 1e3 * first / static_cast<double>(state.max_iterations);
}
inline auto waits_by_map(Pool& pool, const std::vector<int>& waits) { return pool.map<int>("wait_us", waits, 1); }
inline auto waits_by_imap(Pool& pool, const std::vector<int>& waits) { return pool.imap<int>("wait_us", waits); }
inline auto waits_by_imap_unordered(Pool& pool, const std::vector<int>& waits) {
  return pool.imap_unordered<int>("wait_us", waits);
}

// ---- Tasks that wait, on four workers.
inline constexpr int kWait = 5000;  // us
inline Vehicle vehicle_of(const benchmark::State& state) {
  return state.range(0) == 1 ? Vehicle::threads : Vehicle::processes;
}
template <int times>
void waits_by_apply(benchmark::State& state) {
  Pool pool(with(4));
  for (auto _ : state) {
    for (int i = 0; i < times; ++i) pool.apply<int>("wait_us", kWait);
  }
}
inline void twelve_waits(benchmark::State& state) {
  Pool pool(with(4, vehicle_of(state)));
  for (auto _ : state) pool.map<int>("wait_us", std::vector(12, kWait), 1);
}
inline void countdowns(benchmark::State& state) {
  Pool pool(with(core_count(), vehicle_of(state)));
  for (auto _ : state) pool.map<int>("count_down", std::vector(8 * core_count(), 1000), 1);
}

// ---- Five batches, four countdowns for each worker in each, submitted at once. A countdown takes about as long as the
// scheduler's tick (4 ms where CONFIG_HZ is 250): the kernel may start two workers on one core, and moves one at a
// tick.
struct Batches {
  double submitted = 0;      // seconds until all were submitted
  std::vector<double> ends;  // seconds until each was done
  double whole() const { return *std::max_element(ends.begin(), ends.end()); }
  /// How far the ends lie from even spacing, as a share of the whole.
  double unevenness() const {
    double farthest = 0;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      const auto even = static_cast<double>(i + 1) / static_cast<double>(ends.size());
      farthest = std::max(farthest, std::abs(ends[i] / whole() - even));
    }
    return farthest;
  }
};
inline Batches run_five_batches(Pool& pool) {
  const auto seconds = [start = Clock::now()] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  Batches done{.ends = std::vector<double>(5)};
  std::vector<AsyncResult<std::vector<int>>> batches;
  for (double& end : done.ends)
    batches.push_back(pool.map_async<int>("count_down", std::vector(4 * core_count(), 16000), {},
                                          {.callback = [&end, seconds](const auto&) { end = seconds(); }}));
  done.submitted = seconds();
  for (const auto& batch : batches) batch.get(60s);
  return done;
}
inline void five_batches(benchmark::State& state) {
  Pool pool(with(core_count()));
  double submitted = 0, unevenness = 0;
  for (auto _ : state) {
    const Batches done = run_five_batches(pool);
    submitted += done.submitted / done.whole();
    unevenness += done.unevenness();
  }
  const auto n = static_cast<double>(state.max_iterations);
  state.counters.insert({{"submitted", submitted / n}, {"unevenness", unevenness / n}});
}

}  // namespace lab::pool
