// The tasks of the experiments, known to parent and workers by name, and the pools they run in: Pool is the sturdy one
// of common/multiprocessing, faithful::Pool that of this lab's pool.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <csignal>
#include <numeric>
#include <thread>

#include "common/harness/lab.hpp"
#include "common/kernels/busy_wait.hpp"
#include "common/multiprocessing/pool/pool.hpp"
#include "pool.hpp"

namespace lab::pool {

/// Forks the workers of all pools; is itself forked first thing in main, before any thread.
inline std::unique_ptr<start::Nursery> nursery;

// ---- Tasks, known by name.

struct Done {
  std::string worker;
  std::int64_t begin = 0, end = 0;
  auto members() { return std::tie(worker, begin, end); }
};
inline int same(int x) { return x; }
inline int square(int x) { return x * x; }
inline int wait_us(int us) {
  std::this_thread::sleep_for(std::chrono::microseconds(us));
  return us;
}
inline int count_down(int thousands) {
  busy_wait(1000u * static_cast<unsigned>(thousands));
  return thousands;
}
inline Done noted_wait(int us) {
  const auto begin = now_ns();
  return {wait_us(us) == us ? current_worker() : "", begin, now_ns()};
}
inline std::string who(int x) { return fmt::format("{} squared is {}, says {}", x, x * x, current_worker()); }
inline int die(int) { return ::raise(SIGKILL); }
inline void settle(int cpu) { bind_to(std::array{cpu}); }
inline const bool known = register_task("same", same) && register_task("square", square) &&
                          register_task("wait_us", wait_us) && register_task("count_down", count_down) &&
                          register_task("noted_wait", noted_wait) && register_task("who", who) &&
                          register_task("die", die) && register_task("settle", settle);

// ---- Pools.

inline int core_count() {
  return static_cast<int>(std::bit_floor(static_cast<unsigned>(std::clamp(machine().workers(), 1, 8))));
}
inline int many() { return std::max(2, core_count()); }

inline Options with(int workers, Vehicle vehicle = Vehicle::processes) {
  return {.processes = workers, .vehicle = vehicle, .nursery = nursery.get()};
}
inline std::pair<int, int> two_cores() {
  const int home = machine().cores.front().cpus.front();
  return place_pair(machine(), Distance::other_core).value_or(std::pair(home, home));
}
// One worker is placed on another core than the caller, as the floor is; more float.
inline Options placed(int workers) {
  Options options = with(workers);
  if (workers > 1) return options;
  const auto [here, there] = two_cores();
  bind_to(std::array{here});
  options.initializer = "settle";
  options.initargs = encode(there);
  return options;
}
inline std::vector<int> numbers(std::int64_t n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

}  // namespace lab::pool
