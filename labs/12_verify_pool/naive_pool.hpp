// A prime verified by a pool, without a flag: every worker searches its piece to the end, whatever the others have found.
#pragma once

#include <tuple>
#include <vector>

#include "common/multiprocessing/pool/pool.hpp"
#include "verify.hpp"

namespace lab::verify {

/// The task: a factor of n among the candidates of one piece, or 0.
using Piece = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;  // n, from, to, counts
inline std::uint64_t factor_in(Piece piece) {
  const auto [n, from, to, counts] = piece;
  NoFlag none;
  return search_piece({.n = n, .every = never, .counts = counts}, {from, to}, none).factor;
}
inline const bool factor_in_is_known = pool::register_task("factor_in", factor_in);

/// Cuts the candidates into a piece a worker, and waits for all of them. Unordered, so that a worker's death is known at
/// once (WorkerLost) and not when those before it have answered.
inline std::uint64_t factor_by(pool::Pool& pool, const Verification& v, std::uint64_t from) {
  std::vector<Piece> tasks;
  for (const Range piece : split_range({from, isqrt(v.n) + 1}, pool.size())) {
    tasks.emplace_back(v.n, piece.from, piece.to, v.counts);
  }
  std::uint64_t factor = 0;
  for (const std::uint64_t found : pool.imap_unordered<std::uint64_t>("factor_in", tasks)) {
    if (found) factor = found;
  }
  return factor;
}

/// One process, and nobody to be told: the candidates below `end`.
inline std::uint64_t serial_below(const Verification& v, std::uint64_t end) {
  if (v.n % 2 == 0) return v.n > 2 ? 2 : 0;
  NoFlag none;
  return search_piece({.n = v.n, .every = never, .counts = v.counts}, {3, std::min(end, isqrt(v.n) + 1)}, none).factor;
}
inline std::uint64_t serial(const Verification& v) { return serial_below(v, never); }
/// TRAP: most numbers have a factor below 20, and their workers are woken, and search on, for nothing.
inline std::uint64_t naive_pool(pool::Pool& pool, const Verification& v) {
  if (v.n % 2 == 0) return v.n > 2 ? 2 : 0;
  return factor_by(pool, v, 3);
}
/// The repair: such numbers never reach the pool.
inline std::uint64_t less_naive_pool(pool::Pool& pool, const Verification& v) {
  if (const std::uint64_t factor = serial_below(v, serial_check_cutoff)) return factor;
  return factor_by(pool, v, serial_check_cutoff);
}

/// How many composites below `end` there are, and how many of them have a factor up to 19.
struct Composites {
  std::uint64_t all = 0, with_small_factor = 0;
};
inline Composites composites_below(std::uint64_t end) {
  Composites count;
  std::vector<bool> composite(end);
  for (std::uint64_t n = 2; n < end; ++n) {
    if (!composite[n]) {
      for (std::uint64_t multiple = n * n; multiple < end; multiple += n) composite[multiple] = true;
      continue;
    }
    ++count.all;
    count.with_small_factor += pre_check(n) != 0;
  }
  return count;
}

}  // namespace lab::verify
