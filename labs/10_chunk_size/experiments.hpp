// The experiments: what is run in each variant. Which of them there are, and what is believed of them, is in main.cpp.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <map>

#include "chunks_model.hpp"
#include "common/harness/lab.hpp"
#include "prime_chunks.hpp"

namespace lab::chunks {

inline int workers = 2;             ///< of every pool
inline std::size_t items = 50'000;  ///< numbers of the job; both are set before anything is measured
inline constexpr std::size_t kEmptyChunks = 10'000, kCountdowns = 240;

inline std::uint64_t primes_among(std::size_t count) {
  static std::map<std::size_t, std::uint64_t> counted{
      {10'000, jobs::a.primes}, {100'000, jobs::b.primes}, {1'000'000, jobs::c.primes}};
  const auto [at, fresh] = counted.emplace(count, 0);
  if (fresh) at->second = count_primes(job_of(count));
  return at->second;
}
inline void expect_primes(benchmark::State& state, std::uint64_t found, std::uint64_t right) {
  expect(state, found == right, fmt::format("{} primes were found, and there are {}", found, right));
}

inline void serial(benchmark::State& state) {
  std::uint64_t found = 0;
  for (auto _ : state) found = count_primes(job_of(items));
  expect_primes(state, found, primes_among(items));
  state.counters["numbers"] = static_cast<double>(items);
}

// The floor: nobody hands out anything, for it is settled beforehand who tests which hundreds. (Why not which numbers? The
// page asks that.)
inline void shared_by_hand(benchmark::State& state) {
  const auto reports = team(state, Vehicle::processes, workers, [](int worker) {
    std::uint64_t found = 0;
    const Range job = job_of(items);
    for (std::uint64_t at = job.from + 100u * worker; at < job.to; at += 100u * workers)
      found += count_primes({at, std::min(at + 100, job.to)});
    return found;
  });
  std::uint64_t found = 0;
  for (const Report& report : reports) found += report.answer;
  expect_primes(state, found, primes_among(items) * static_cast<std::uint64_t>(state.max_iterations));
}

/// Each worker has a core to itself where there are enough: where the kernel puts two workers on one core, milliseconds
/// pass until it moves one of them, and that is as long as many a chunk.
inline pool::Options placed() {
  return {.processes = workers, .cpus = place(machine(), workers), .nursery = nursery.get()};
}
inline void wait_for_workers(const pool::Pool& pool) {
  if (!pool.wait_until_ready(std::chrono::seconds(20)))
    throw std::runtime_error("a pool's workers were not ready within 20 s");
}
inline void by_pool(benchmark::State& state, const Numbers& numbers, std::optional<std::ptrdiff_t> size) {
  pool::Pool pool(placed());
  wait_for_workers(pool);
  // The first touch of memory costs milliseconds: the same numbers go there and back once with nothing to do.
  pool.map<bool>("nothing", numbers, size ? std::max<std::ptrdiff_t>(*size, 1000) : size);
  std::uint64_t found = 0;
  for (auto _ : state) found = primes_by(pool, numbers, size);
  expect_primes(state, found, primes_among(numbers.size()));
}
inline void chunk_size(benchmark::State& state) { by_pool(state, in_order(job_of(items)), state.range(0)); }
inline void chunk_count(benchmark::State& state) {
  by_pool(state, in_order(job_of(items)), size_of(items, static_cast<std::size_t>(state.range(0))));
}
inline void default_size(benchmark::State& state) {
  by_pool(state, in_order(job_of(static_cast<std::uint64_t>(state.range(0)))), {});
}
inline void shuffled_size(benchmark::State& state) { by_pool(state, shuffled(job_of(items)), state.range(0)); }
inline void shuffled_default(benchmark::State& state) { by_pool(state, shuffled(job_of(items)), {}); }

// Chunks with nothing to do, by a pool of the same size.
inline void empty_chunks(benchmark::State& state) {
  pool::Pool pool(placed());
  wait_for_workers(pool);
  const Numbers numbers = in_order(job_of(kEmptyChunks));
  for (auto _ : state) pool.map_async<bool>("nothing", numbers, 1).get(std::chrono::seconds(60));
}

// Countdowns of some 0.1 ms, a chunk each, and as many in one chunk a worker: the difference is the messages.
inline void countdowns(benchmark::State& state, std::size_t chunks) {
  pool::Pool pool(placed());
  wait_for_workers(pool);
  const Numbers jobs(rounded_up(kCountdowns, workers) * workers, 300'000);
  pool.map<bool>("count_down", Numbers(100, 1000), 1);
  for (auto _ : state)
    pool.map_async<bool>("count_down", jobs, size_of(jobs.size(), chunks)).get(std::chrono::seconds(60));
}
inline void countdowns_apart(benchmark::State& state) { countdowns(state, rounded_up(kCountdowns, workers) * workers); }
inline void countdowns_together(benchmark::State& state) { countdowns(state, static_cast<std::size_t>(workers)); }

inline void test_each(benchmark::State& state, const Numbers& numbers, bool prime) {
  bool right = true;
  for (auto _ : state) {
    for (const std::uint64_t n : numbers) right = (is_prime(n) == prime) && right;
  }
  expect(state, right, "a prime was taken for a composite, or the other way round");
}
inline void typical_prime(benchmark::State& state) { test_each(state, typical(true), true); }
inline void typical_composite(benchmark::State& state) { test_each(state, typical(false), false); }
inline void primes_near(benchmark::State& state) {
  test_each(state, primes_from(static_cast<std::uint64_t>(state.range(0))), true);
}

/// Which worker had which chunk when: W, W + 1, 4 W and 4 W + 1 chunks, one job after the other, a track a worker.
inline void chunks_on_workers(Trace& trace) {
  pool::Pool pool(placed());
  wait_for_workers(pool);
  std::map<std::string, int> tracks;
  const Range job = job_of(items);
  for (const auto& [name, count] :
       {std::pair("W chunks", workers), std::pair("W + 1 chunks", workers + 1), std::pair("4 W chunks", 4 * workers),
        std::pair("4 W + 1 chunks", 4 * workers + 1)}) {
    std::vector<std::tuple<std::uint64_t, std::uint64_t>> pieces;
    const std::size_t size = size_of(items, static_cast<std::size_t>(count));
    for (std::uint64_t at = job.from; at < job.to; at += size) pieces.emplace_back(at, std::min(at + size, job.to));
    for (const Done& done : pool.starmap<Done>("noted_chunk", pieces, 1)) {
      const auto [track, fresh] = tracks.emplace(done.worker, static_cast<int>(tracks.size()));
      if (fresh) trace.name_track(track->second, done.worker);
      trace.span(name, track->second, done.begin, done.end);
    }
  }
}

}  // namespace lab::chunks
