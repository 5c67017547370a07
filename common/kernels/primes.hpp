// Primes by trial division with odd candidates: the CPU-bound work of most labs.
#pragma once

#include <cstdint>
#include <vector>

namespace lab {

/// Half-open: from <= i < to.
struct Range {
  std::uint64_t from = 0, to = 0;
  bool operator==(const Range&) const = default;
};

/// The largest r with r * r <= n.
std::uint64_t isqrt(std::uint64_t n);

/// The smallest odd d of the range, at least 3, that divides n; 0 if there is none. One 64-bit remainder a candidate.
std::uint64_t smallest_odd_divisor(std::uint64_t n, Range candidates);

/// Rejects even numbers, then tries 3, 5, 7 ... up to and including isqrt(n), and stops at the first divisor.
bool is_prime(std::uint64_t n);

std::uint64_t count_primes(Range);

/// Cuts a range of candidates into pieces of equal length, rounded so that every piece but the first starts at an odd
/// number; the last one takes what is left. Fewer pieces when there is not enough for all, never an empty one.
std::vector<Range> split_range(Range, int pieces);

/// Candidates below this are tried by the parent before it hands out pieces: most composites end there, and for them
/// waking the workers would cost far more than the search.
inline constexpr std::uint64_t serial_check_cutoff = 21;

/// Numbers to be verified, from High Performance Python, "Verifying Primes Using Interprocess Communication".
namespace numbers {
inline constexpr std::uint64_t trivial_non_prime = 112272535095295;  // 5 x ...
inline constexpr std::uint64_t prime15 = 112272535095293;
inline constexpr std::uint64_t prime17 = 10000000002065383;
inline constexpr std::uint64_t expensive_non_prime_1 = 100109100129100369;  // 95362951 x 1049769319
inline constexpr std::uint64_t expensive_non_prime_2 = 100109100129101027;  // 171656941 x 583192847
inline constexpr std::uint64_t prime18_1 = 100109100129100151;
inline constexpr std::uint64_t prime18_2 = 100109100129162907;
inline constexpr std::uint64_t non_prime_like_a_prime = 100109100129126653;  // its factor 316096873 is nearly its root
// A hundredth of the work each, with the factors at the same fractions of the search as in the book's two non-primes.
inline constexpr std::uint64_t small_trivial_non_prime = 10000000000015;  // 5 x ...
inline constexpr std::uint64_t small_prime = 10000000000037;
inline constexpr std::uint64_t small_non_prime_1 = 10000003440671;  // 953111 x 10491961
inline constexpr std::uint64_t small_non_prime_2 = 10000007629921;  // 1715683 x 5828587
}  // namespace numbers

/// Ranges to be searched for primes, and how many there are; from the same book's "Finding Prime Numbers".
namespace jobs {
struct Job {
  Range range;
  std::uint64_t primes;
};
inline constexpr Job a{{100'000'000, 100'010'000}, 551};
inline constexpr Job b{{100'000'000, 100'100'000}, 5'411};
inline constexpr Job c{{100'000'000, 101'000'000}, 54'208};
inline constexpr Job d{{1'000'000'000, 1'000'100'000}, 4'832};
inline constexpr Job e{{100'000'000'000, 100'000'100'000}, 4'019};
}  // namespace jobs

}  // namespace lab
