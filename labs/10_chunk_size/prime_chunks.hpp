// The job, and the pool that does it: which of these numbers are prime? One number is one item, so that the chunk size
// says how many of them travel together.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/kernels/busy_wait.hpp"
#include "common/kernels/primes.hpp"
#include "common/machine/placement.hpp"
#include "common/multiprocessing/pool/pool.hpp"
#include "common/os/clock.hpp"
#include "common/os/mapping.hpp"

namespace lab::chunks {

using Numbers = std::vector<std::uint64_t>;

/// The first `count` numbers of the book's jobs, which all begin at 100,000,000: job A has 10,000 of them, B 100,000, C
/// a million.
inline Range job_of(std::uint64_t count) { return {jobs::c.range.from, jobs::c.range.from + count}; }

inline Numbers in_order(Range range) {
  Numbers numbers(range.to - range.from);
  std::iota(numbers.begin(), numbers.end(), range.from);
  return numbers;
}
/// The same order in every run.
inline Numbers shuffled(Range range) {
  Numbers numbers = in_order(range);
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937_64(1));
  return numbers;
}

// ---- Tasks, known to parent and workers by name.

inline bool nothing(std::uint64_t) { return false; }
inline bool count_down(std::uint64_t counts) {
  busy_wait(counts);
  return false;
}
struct Done {
  std::string worker;
  std::int64_t begin = 0, end = 0;
  std::uint64_t primes = 0;
  auto members() { return std::tie(worker, begin, end, primes); }
};
inline Done noted_chunk(std::uint64_t from, std::uint64_t to) {
  const auto begin = now_ns();
  const std::uint64_t primes = count_primes({from, to});
  return {pool::current_worker(), begin, now_ns(), primes};
}
inline const bool known = pool::register_task("is_prime", is_prime) && pool::register_task("nothing", nothing) &&
                          pool::register_task("count_down", count_down) &&
                          pool::register_task("noted_chunk", noted_chunk);

// ---- The pool.

/// Forks the workers of all pools; is itself forked first thing in main, before any thread.
inline std::unique_ptr<start::Nursery> nursery;

/// How many of the numbers are prime: map in chunks of that size, or of the pool's own.
inline std::uint64_t primes_by(pool::Pool& pool, const Numbers& numbers,
                                  std::optional<std::ptrdiff_t> chunk_size = {}) {
  const auto found = pool.map_async<bool>("is_prime", numbers, chunk_size).get(std::chrono::seconds(60));
  return static_cast<std::uint64_t>(std::count(found.begin(), found.end(), true));
}

// ---- What one number costs: the book's odd numbers from 10,001 to 999,991, every fifth of them.

/// The thousand primes, or composites, in the middle of those numbers when they are sorted by the divisors that are tried.
inline Numbers typical(bool primes) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> all;  // smallest divisor or root, number
  for (std::uint64_t n = 10'001; n < 1'000'000; n += 10) {
    const std::uint64_t root = isqrt(n), divisor = smallest_odd_divisor(n, {3, root + 1});
    if ((divisor == 0) == primes) all.emplace_back(primes ? root : divisor, n);
  }
  std::sort(all.begin(), all.end());
  Numbers middle;
  for (std::size_t i = all.size() / 2 - 500; i < all.size() / 2 + 500; ++i) middle.push_back(all[i].second);
  return middle;
}
/// The first hundred primes from n on.
inline Numbers primes_from(std::uint64_t n) {
  Numbers primes;
  for (; primes.size() < 100; ++n) {
    if (is_prime(n)) primes.push_back(n);
  }
  return primes;
}

}  // namespace lab::chunks
