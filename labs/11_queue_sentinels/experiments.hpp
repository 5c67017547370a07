// What is run and timed: primes through queues, jobs of any size through one, consumers that share a lock, and items
// through every queue.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "common/harness/lab.hpp"
#include "common/kernels/busy_wait.hpp"
#include "common/kernels/primes.hpp"
#include "common/multiprocessing/queue/queue.hpp"
#include "labs/05_pipe/turns.hpp"
#include "queues.hpp"
#include "sentinels.hpp"

namespace lab::queues {

/// The sturdy queues, with put and get of one type as the lesson's have them.
template <class T>
struct Packets {
  static constexpr bool kFeeds = false;
  void put(const T& item) { items.put(item); }
  T get() { return items.get<T>(); }
  queue::PacketQueue items;
};
template <class T>
struct Ring {
  static constexpr bool kFeeds = false;
  void put(const T& item) { items.put(item); }
  T get() { return items.get<T>(); }
  queue::RingQueue items{1024, 64};
};

/// The numbers of the job, how many of them are prime, and the most workers; set before anything is measured.
inline Range job_range;
inline std::uint64_t primes_among_them = 0;
inline int many = 2;

inline std::vector<std::uint64_t> each_number(std::uint64_t step = 1) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t n = step == 1 ? job_range.from : job_range.from | 1; n < job_range.to; n += step) all.push_back(n);
  return all;
}

/// Runs the protocol once an iteration, from the first message to the last acknowledgement; the processes are there
/// already. `right(results)` says whether the answer is.
template <class Item, class Result, class Jobs, class Results, class Work, class Right>
void run_job(benchmark::State& state, int workers, Jobs& jobs, Results& results, const std::vector<Item>& items,
             Work work, Right right) {
  const Shared<FutexWord> turn(0u);  // nobody begins the next iteration before the parent has ended this one
  const auto reports = team(state, Vehicle::processes, workers + 1, [&, mine = 0u](int who) mutable -> std::uint64_t {
    ++mine;
    if (who == 0) {
      turn->store(mine);
      futex_wake(*turn);
    } else {
      while (turn->load() < mine) futex_wait(*turn, mine - 1, Clock::now() + std::chrono::seconds(60));
    }
    const auto got = run_with_sentinels<Item, Result>(who, workers, jobs, results, items, work);
    // A worker that ends at once takes its feeder along, and with it an acknowledgement that is not yet sent.
    if (mine == state.max_iterations) start::run_exit_order();
    return who > 0 || right(got);
  });
  expect(state, reports[0].answer == static_cast<std::uint64_t>(state.max_iterations),
         "the results are not those of the serial count");
}

// ---- the book's job: which of these numbers are prime? ---------------------------------------------------------------

inline void primes_serial(benchmark::State& state) {
  const auto reports = team(state, Vehicle::processes, 1, [](int) { return count_primes(job_range); });
  expect(state, reports[0].answer == primes_among_them * static_cast<std::uint64_t>(state.max_iterations),
         "the serial count is wrong");
}

template <template <class> class Queue, std::uint64_t step = 1>
void primes_by(benchmark::State& state) {
  using Number = Message<std::uint64_t>;
  Queue<Number> jobs, results;
  run_job<std::uint64_t, std::uint64_t>(
      state, static_cast<int>(state.range(0)), jobs, results, each_number(step),
      [](std::uint64_t n) { return is_prime(n) ? Number(n) : std::nullopt; },
      [](const auto& primes) { return primes.size() == primes_among_them; });
}

/// The same with `batch` numbers a message; a batch without primes sends nothing back.
inline void primes_batches(benchmark::State& state) {
  using Batch = std::vector<std::uint64_t>;
  const auto all = each_number();
  std::vector<Batch> batches;
  for (std::size_t at = 0; at < all.size(); at += static_cast<std::size_t>(state.range(0)))
    batches.emplace_back(all.begin() + at,
                         all.begin() + std::min(all.size(), at + static_cast<std::size_t>(state.range(0))));
  Queue<Message<Batch>> jobs, results;
  run_job<Batch, Batch>(
      state, many, jobs, results, batches,
      [](const Batch& batch) {
        Batch primes;
        std::copy_if(batch.begin(), batch.end(), std::back_inserter(primes), is_prime);
        return primes.empty() ? Message<Batch>() : primes;
      },
      [](const auto& found) {
        return primes_among_them == std::accumulate(found.begin(), found.end(), std::uint64_t{0},
                                                    [](auto sum, const Batch& batch) { return sum + batch.size(); });
      });
}

// ---- how much work an item must bring along -------------------------------------------------------------------------

/// Items of so many counts of busy_wait, about a third of a nanosecond each, and how many of them make a job.
constexpr std::int64_t kCounts[] = {30, 300, 3'000, 30'000, 300'000, 3'000'000};
inline std::size_t items_of(std::int64_t counts) {
  return static_cast<std::size_t>(std::clamp<std::int64_t>(60'000'000 / counts, 20, 2000));
}

inline void sweep_serial(benchmark::State& state) {
  const std::vector<std::uint64_t> items(items_of(state.range(0)), static_cast<std::uint64_t>(state.range(0)));
  team(state, Vehicle::processes, 1, [&](int) {
    for (const std::uint64_t counts : items) benchmark::DoNotOptimize(busy_wait(counts));
    return 0;
  });
}
inline void sweep_queue(benchmark::State& state) {
  const std::vector<std::uint64_t> items(items_of(state.range(1)), static_cast<std::uint64_t>(state.range(1)));
  Queue<Message<std::uint64_t>> jobs, results;
  run_job<std::uint64_t, std::uint64_t>(
      state, static_cast<int>(state.range(0)), jobs, results, items,
      [](std::uint64_t counts) {
        benchmark::DoNotOptimize(busy_wait(counts));
        return Message<std::uint64_t>();
      },
      [](const auto& none) { return none.empty(); });
}

// ---- one consumer at a time -----------------------------------------------------------------------------------------

/// One producer that takes its time, and so many consumers with nothing to do but to get. Counter blocked: the time they
/// waited for the read lock, as a share of the time that all of them had.
inline void consumers(benchmark::State& state) {
  constexpr int kItems = 500;
  constexpr std::uint64_t kTakesItsTime = 100'000;  // counts, some 30 us: whoever gets an item is back before the next
  const int readers = static_cast<int>(state.range(0));
  SimpleQueue<Message<int>> queue, acknowledgements;
  const SharedArray<std::atomic<std::int64_t>> blocked(static_cast<std::size_t>(readers) + 1);
  const auto reports = team(state, Vehicle::processes, readers + 1, [&](int who) -> std::uint64_t {
    std::uint64_t got = 0;
    if (who == 0) {
      for (int i = 0; i < kItems; ++i) {
        benchmark::DoNotOptimize(busy_wait(kTakesItsTime));
        queue.put(i);
      }
      for (int i = 0; i < readers; ++i) queue.put(std::nullopt);
      for (int i = 0; i < readers; ++i) acknowledgements.get();
    } else {
      while (queue.get()) ++got;
      acknowledgements.put(std::nullopt);
    }
    blocked[static_cast<std::size_t>(who)] = queue.blocked().count();
    return got;
  });
  std::uint64_t got = 0;
  double waited = 0, had = 0;
  for (std::size_t who = 1; who < reports.size(); ++who) {
    got += reports[who].answer;
    waited += static_cast<double>(blocked[who]);
    had += static_cast<double>(reports[who].end - reports[who].begin);
  }
  state.counters["blocked_s"] = 1e-9 * waited;
  state.counters["consuming_s"] = 1e-9 * had;
  expect(state, got == static_cast<std::uint64_t>(kItems * state.max_iterations), "an item was lost or doubled");
}

// ---- an item through ------------------------------------------------------------------------------------------------

struct Slots : queue::RingQueue {
  Slots() : RingQueue(1024, 64) {}
};

/// A thousand items of 64 bytes from one process to another: what lab 05's `stream` does with a carrier.
template <class Queue>
void through(benchmark::State& state) {
  Queue queue;
  const auto reports = team(state, Vehicle::processes, 2, [&, mine = 0](int side) mutable {
    std::string item(64, '\0');
    std::uint64_t right = 0;
    for (int i = 0; i < pipe::kStreamed; ++i) {
      if constexpr (requires { queue.put_bytes(item); }) {
        if (side == 0) queue.put_bytes(item);
        if (side == 1) item = queue.get_bytes();
      } else {
        if (side == 0) queue.put(item);
        if (side == 1) item = queue.get();
      }
      right += item.size() == 64 && item[0] == static_cast<char>(i);
      item[0] = static_cast<char>(i + 1);
    }
    if (++mine == state.max_iterations) start::run_exit_order();
    return right;
  });
  expect(state, reports[1].answer == static_cast<std::uint64_t>(pipe::kStreamed * state.max_iterations),
         "an item was lost or changed");
}

}  // namespace lab::queues
