// The search as the book's first versions write it: one loop, and in it a counter that says when to poll. Python pays for
// the counter at every candidate; the two-level loop of common/kernels/search.hpp, the book's "redux", has none.
#pragma once

#include "common/kernels/search.hpp"

namespace lab::mmap_flag {

template <class Flag, class Pace = NativePace>
[[gnu::noinline]] Searched counted_search(std::uint64_t n, Range piece, std::uint64_t every, Flag& flag, Pace divides = {}) {
  Searched done;
  std::uint64_t until_poll = every;
  for (std::uint64_t candidate = std::max<std::uint64_t>(piece.from, 3) | 1; candidate < piece.to; candidate += 2) {
    ++done.candidates;
    if (divides(n, candidate)) {
      flag.raise();
      done.factor = candidate;
      return done;
    }
    if (--until_poll == 0) {
      until_poll = every;
      ++done.polls;
      if (flag.raised()) break;
    }
  }
  return done;
}

}  // namespace lab::mmap_flag
