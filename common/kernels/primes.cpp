#include "common/kernels/primes.hpp"

#include <algorithm>
#include <cmath>

namespace lab {

std::uint64_t isqrt(std::uint64_t n) {
  constexpr std::uint64_t largest = 0xffffffff;  // its square still fits
  // A double holds 53 bits, so its root may be one off, either way.
  std::uint64_t root = std::min(static_cast<std::uint64_t>(std::sqrt(static_cast<double>(n))), largest);
  while (root * root > n) --root;
  while (root < largest && (root + 1) * (root + 1) <= n) ++root;
  return root;
}

std::uint64_t smallest_odd_divisor(std::uint64_t n, Range candidates) {
  for (std::uint64_t d = std::max<std::uint64_t>(candidates.from, 3) | 1; d < candidates.to; d += 2) {
    if (n % d == 0) return d;
  }
  return 0;
}

bool is_prime(std::uint64_t n) {
  if (n < 2 || n % 2 == 0) return n == 2;
  return smallest_odd_divisor(n, {3, isqrt(n) + 1}) == 0;
}

std::uint64_t count_primes(Range range) {
  std::uint64_t primes = 0;
  for (std::uint64_t n = range.from; n < range.to; ++n) primes += is_prime(n);
  return primes;
}

std::vector<Range> split_range(Range range, int pieces) {
  std::vector<Range> split;
  if (range.from >= range.to) return split;
  const std::uint64_t length = std::max<std::uint64_t>((range.to - range.from) / std::max(pieces, 1), 1);
  for (std::uint64_t from = range.from; from < range.to;) {
    const bool last = static_cast<int>(split.size()) + 1 >= pieces || range.to - from <= length;
    const std::uint64_t to = last ? range.to : std::min((from + length) | 1, range.to);
    split.push_back({from, to});
    from = to;
  }
  return split;
}

}  // namespace lab
