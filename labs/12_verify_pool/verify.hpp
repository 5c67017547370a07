// The protocol of all labs that verify a prime: W workers search a piece each, and a flag stops them when one has found a
// factor. A lab brings the flag: raised() and raise() for the workers, clear() for who starts them. A flag that cannot be
// inherited over fork has connect(), too: called once in each worker, it makes what that worker polls, raises and clears.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "common/kernels/search.hpp"
#include "common/os/team.hpp"

namespace lab::verify {

/// How a number is searched.
struct Verification {
  std::uint64_t n = 0;
  int workers = 1;
  std::uint64_t every = 1000;        ///< candidates from one poll to the next
  std::uint64_t counts = 0;          ///< of busy_wait a candidate: 0 at native pace
  std::uint64_t most_polls = never;  ///< of one worker: its piece is cut short, so that a slow flag needs no more
};

/// The candidates of each worker. Fewer pieces than workers where there is not enough; none where the pre-check said all.
inline std::vector<Range> pieces(const Verification& v) {
  std::vector<Range> cut = split_range({serial_check_cutoff, isqrt(v.n) + 1}, v.workers);
  for (Range& piece : cut) {
    if (v.most_polls <= (piece.to - piece.from) / 2 / v.every) piece.to = piece.from + 2 * v.every * v.most_polls;
  }
  return cut;
}

/// Where in its piece the factor lies, 0 to 1. Pieces are equal, so this is also the share of a prime's time after which an
/// ideal flag stops everybody: one that costs nothing and is seen at once.
inline double stop_fraction(std::uint64_t n, std::uint64_t factor, int workers) {
  for (const Range piece : pieces({.n = n, .workers = workers})) {
    if (factor < piece.to) return double(factor - std::min(factor, piece.from)) / double(piece.to - piece.from);
  }
  return 1;
}

/// What the parent tries before it wakes anybody: 2, and the odd numbers below 21. Returns a factor, or 0.
inline std::uint64_t pre_check(std::uint64_t n) {
  if (n % 2 == 0) return n > 2 ? 2 : 0;
  return smallest_odd_divisor(n, {3, std::min(isqrt(n) + 1, serial_check_cutoff)});
}

/// One worker's search.
struct TwoLevels {
  template <class Flag>
  Searched operator()(const Verification& v, Range piece, Flag& flag) const {
    return v.counts ? search(v.n, piece, v.every, flag, PythonPace{v.counts}) : search(v.n, piece, v.every, flag);
  }
};
inline constexpr TwoLevels search_piece;

/// Calls body with what this worker polls.
template <class Flag, class Body>
auto with_connection(Flag& flag, const Body& body) {
  if constexpr (requires { flag.connect(); }) {
    static auto connection = flag.connect();  // one a process: the parent, who polls nothing, has none to pass on
    return body(connection);
  } else {
    return body(flag);
  }
}

/// The whole protocol once: a factor of n, or 0 if it has none. Throws WorkerError when a worker dies.
template <class Flag>
std::uint64_t find_factor(const Verification& v, Flag& flag) {
  if (const std::uint64_t factor = pre_check(v.n)) return factor;
  flag.clear();
  const std::vector<Range> cut = pieces(v);
  if (cut.empty()) return 0;
  const auto search_one = [&](int worker) {
    return with_connection(flag, [&](auto& polled) { return search_piece(v, cut[worker], polled).factor; });
  };
  std::uint64_t factor = 0;
  for (const Report& r :
       run_team({.size = static_cast<int>(cut.size()), .deadline = std::chrono::hours(1)}, search_one)) {
    if (r.answer) factor = r.answer;
  }
  return factor;
}

}  // namespace lab::verify
