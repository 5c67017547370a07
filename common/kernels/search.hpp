// The search for a factor by several workers, each with a piece of the candidates, who look at a flag now and then: has
// another one found a factor? The one loop of all labs that verify a prime; what differs between them is the flag.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/kernels/busy_wait.hpp"
#include "common/kernels/primes.hpp"

namespace lab {

/// An interval that never comes.
inline constexpr std::uint64_t never = ~0ull;

/// What one worker did.
struct Searched {
  std::uint64_t factor = 0;  ///< 0: none found
  std::uint64_t candidates = 0, polls = 0;
};

/// No flag at all.
struct NoFlag {
  bool raised() const { return false; }
  void raise() {}
  void clear() {}
};

/// A candidate costs one 64-bit remainder, a few nanoseconds.
struct NativePace {
  bool operator()(std::uint64_t n, std::uint64_t candidate) const { return n % candidate == 0; }
};
/// A candidate costs `counts` of busy_wait more, as it costs an interpreter the steps of its loop.
struct PythonPace {
  std::uint64_t counts = 0;
  bool operator()(std::uint64_t n, std::uint64_t candidate) const {
    busy_wait(counts);
    return n % candidate == 0;
  }
};

/// Tests the odd candidates of the piece, from 3 on, and raises the flag at the first that divides n. Looks at the flag
/// after every so many candidates (0 is taken for 1), and stops where it is raised. Two loops, so that the inner one
/// knows of no flag: a poll costs what flag.raised() costs, and a candidate what it costs without any.
template <class Flag, class Pace = NativePace>
[[gnu::noinline]] Searched search(std::uint64_t n, Range piece, std::uint64_t every, Flag& flag, Pace divides = {}) {
  const std::uint64_t first = std::max<std::uint64_t>(piece.from, 3) | 1;
  std::uint64_t candidate = first, polls = 0;
  every = std::max<std::uint64_t>(every, 1);
  for (std::uint64_t left = first < piece.to ? (piece.to - first + 1) / 2 : 0; left > 0;) {
    const std::uint64_t block = std::min(every, left), stop = candidate + 2 * block;
    do {
      if (divides(n, candidate)) [[unlikely]] {
        flag.raise();
        return {candidate, (candidate - first) / 2 + 1, polls};
      }
      candidate += 2;
    } while (candidate != stop);
    left -= block;
    if (block < every) break;
    ++polls;
    if (flag.raised()) break;
  }
  return {0, (candidate - first) / 2, polls};
}

}  // namespace lab
