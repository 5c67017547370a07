// What the lock itself costs, measured beside its floors: a pair of take and drop, and a forced hand-over.
#pragma once

#include <benchmark/benchmark.h>

#include <array>
#include <chrono>
#include <mutex>
#include <thread>

#include "common/harness/measure.hpp"

namespace lab::gil {

/// Times `pair()` while a second thread is alive and asleep: in a process that never had one the C library leaves out
/// the atomic instructions, and every lock looks cheaper than it will be.
template <class Pair>
void beside_a_sleeping_thread(benchmark::State& state, Pair pair) {
  std::mutex mutex;
  std::unique_lock hold(mutex);
  const std::jthread sleeper([&] { const std::lock_guard wait(mutex); });
  for (auto _ : state) pair();
  hold.unlock();
}

/// Times Experiment::once() between this thread and a partner on another core; on one CPU where there is no second core.
template <class Experiment>
void between_two_cores(benchmark::State& state) {
  const int home = machine().cores.front().cpus.front();
  const auto [mine, partners] = place_pair(machine(), Distance::other_core).value_or(std::pair(home, home));
  bind_to(std::array{mine});
  Experiment experiment([cpu = partners] { bind_to(std::array{cpu}); });
  experiment.once();  // the first is dearer: the partner has just been made
  std::chrono::nanoseconds total{0};
  for (auto _ : state) total += experiment.once();
  timed(std::chrono::duration<double>(total).count());
}

}  // namespace lab::gil
