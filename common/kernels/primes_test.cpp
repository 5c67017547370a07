#include "common/kernels/primes.hpp"

#include <gtest/gtest.h>

namespace {

using namespace lab;

// Remainders is_prime(n) computes: 3 is the first candidate, 5 the second, up to the first divisor or the root.
std::uint64_t trial_divisions(std::uint64_t n) {
  if (n % 2 == 0) return 0;
  const std::uint64_t root = isqrt(n), divisor = smallest_odd_divisor(n, {3, root + 1});
  return ((divisor != 0 ? divisor : root) - 1) / 2;
}

TEST(Primes, SmallNumbersAgreeWithDivisionByEverything) {
  for (std::uint64_t n = 0; n < 3000; ++n) {
    bool expected = n >= 2;
    for (std::uint64_t d = 2; d < n && expected; ++d) expected = n % d != 0;
    EXPECT_EQ(is_prime(n), expected) << n;
  }
}

TEST(Primes, SquaresOfPrimes) {
  for (std::uint64_t p : {2u, 3u, 5u, 7u, 9973u, 1000003u}) EXPECT_FALSE(is_prime(p * p)) << p;
}

TEST(Primes, TheTopOf64BitsDoesNotOverflow) {
  constexpr std::uint64_t largest = ~0ull, largest_prime = largest - 58, largest_root = 0xffffffff,
                          root_prime = 4294967291;
  EXPECT_FALSE(is_prime(largest));      // divisible by 3
  EXPECT_FALSE(is_prime(largest - 1));  // even
  EXPECT_EQ(isqrt(largest_prime), largest_root);
  // All of 2^64-59 would take seconds; the end of the search is where an overflow would show.
  EXPECT_EQ(smallest_odd_divisor(largest_prime, {largest_root - 100'000, isqrt(largest_prime) + 1}), 0u);
  EXPECT_EQ(smallest_odd_divisor(largest_prime, {3, 1'000'000}), 0u);
  EXPECT_EQ(smallest_odd_divisor(root_prime * root_prime, {largest_root - 100'000, largest_root + 1}), root_prime);
  EXPECT_EQ(smallest_odd_divisor(largest_prime, {largest_prime - 100, largest}), largest_prime);
}

TEST(Primes, RootIsExact) {
  for (std::uint64_t r : {1ull, 2ull, 94906267ull, 316400221ull, 3037000500ull, 4294967295ull}) {
    EXPECT_EQ(isqrt(r * r), r);
    EXPECT_EQ(isqrt(r * r - 1), r - 1);
    EXPECT_EQ(isqrt(r * r + 1), r);
  }
  EXPECT_EQ(isqrt(0), 0u);
  EXPECT_EQ(isqrt(~0ull), 4294967295u);
}

TEST(Primes, DivisorSearchHonoursItsRange) {
  EXPECT_EQ(smallest_odd_divisor(3 * 5 * 7, {3, 11}), 3u);
  EXPECT_EQ(smallest_odd_divisor(3 * 5 * 7, {4, 11}), 5u);
  EXPECT_EQ(smallest_odd_divisor(3 * 5 * 7, {7, 8}), 7u);
  EXPECT_EQ(smallest_odd_divisor(3 * 5 * 7, {9, 15}), 0u);
  EXPECT_EQ(smallest_odd_divisor(7, {0, 7}), 0u);  // 1 is no candidate
}

struct JobFacts {
  jobs::Job job;
  std::uint64_t first, last;
};
class Jobs : public testing::TestWithParam<JobFacts> {};
TEST_P(Jobs, CountFirstAndLastPrime) {
  const auto [job, first, last] = GetParam();
  EXPECT_EQ(count_primes({first, last + 1}), job.primes);
  EXPECT_EQ(count_primes({job.range.from, first}), 0u);
  EXPECT_EQ(count_primes({last + 1, job.range.to}), 0u);
}
INSTANTIATE_TEST_SUITE_P(Book, Jobs,
                         testing::Values(JobFacts{jobs::b, 100000007, 100099981},
                                         JobFacts{jobs::c, 100000007, 100999993},
                                         JobFacts{jobs::d, 1000000007, 1000099999},
                                         JobFacts{jobs::e, 100000000003, 100000099963}));

TEST(Primes, JobsAAndBAndTheirWork) {
  EXPECT_EQ(count_primes(jobs::a.range), jobs::a.primes);
  std::uint64_t divisions = 0;
  for (std::uint64_t n = jobs::b.range.from; n < jobs::b.range.to; ++n) divisions += trial_divisions(n);
  EXPECT_EQ(divisions, 33'255'554u);
}

TEST(Primes, TheNumbersOfTheBook) {
  const auto divisor = [](std::uint64_t n) { return smallest_odd_divisor(n, {3, isqrt(n) + 1}); };
  EXPECT_EQ(divisor(numbers::trivial_non_prime), 5u);
  EXPECT_TRUE(is_prime(numbers::prime15));
  EXPECT_TRUE(is_prime(numbers::prime17));
  EXPECT_EQ(divisor(numbers::expensive_non_prime_1), 95362951u);
  EXPECT_EQ(divisor(numbers::expensive_non_prime_2), 171656941u);
  EXPECT_EQ(isqrt(numbers::prime18_1), 316400221u);
  const auto near_root = [](std::uint64_t n) { return smallest_odd_divisor(n, {316'000'000, isqrt(n) + 1}); };
  EXPECT_EQ(near_root(numbers::non_prime_like_a_prime), 316096873u);
  EXPECT_EQ(near_root(numbers::prime18_1), 0u);
  EXPECT_EQ(near_root(numbers::prime18_2), 0u);
  EXPECT_EQ(divisor(numbers::small_trivial_non_prime), 5u);
  EXPECT_TRUE(is_prime(numbers::small_prime));
  EXPECT_EQ(divisor(numbers::small_non_prime_1), 953111u);
  EXPECT_EQ(divisor(numbers::small_non_prime_2), 1715683u);
}

// Where in its piece the factor lies decides how soon a search by W workers can stop: in the small numbers as in the
// book's.
TEST(Primes, SmallNumbersStopAtTheFractionsOfTheBooks) {
  const auto fraction = [](std::uint64_t n, std::uint64_t factor, int pieces) {
    for (const Range piece : split_range({serial_check_cutoff, isqrt(n) + 1}, pieces)) {
      if (factor < piece.to) return double(factor - piece.from) / double(piece.to - piece.from);
    }
    return -1.0;
  };
  const auto same = [&](std::uint64_t n, std::uint64_t factor, std::uint64_t small, std::uint64_t small_factor,
                        double two, double four) {
    EXPECT_NEAR(fraction(n, factor, 2), two, 2e-4);
    EXPECT_NEAR(fraction(small, small_factor, 2), two, 2e-4);
    EXPECT_NEAR(fraction(n, factor, 4), four, 2e-4);
    EXPECT_NEAR(fraction(small, small_factor, 4), four, 2e-4);
  };
  same(numbers::expensive_non_prime_1, 95362951, numbers::small_non_prime_1, 953111, 0.6028, 0.2056);
  same(numbers::expensive_non_prime_2, 171656941, numbers::small_non_prime_2, 1715683, 0.0851, 0.1702);
}

TEST(SplitRange, ExamplesOfTheBook) {
  EXPECT_EQ(split_range({2, 11}, 2), (std::vector<Range>{{2, 7}, {7, 11}}));
  EXPECT_EQ(split_range({1, 31}, 4), (std::vector<Range>{{1, 9}, {9, 17}, {17, 25}, {25, 31}}));
}

TEST(SplitRange, CoversEverythingOnceInOddPieces) {
  for (std::uint64_t to : {22u, 23u, 50u, 101u, 316400222u}) {
    for (int pieces : {1, 2, 3, 4, 7, 8, 64}) {
      const auto split = split_range({serial_check_cutoff, to}, pieces);
      ASSERT_FALSE(split.empty());
      EXPECT_LE(split.size(), static_cast<std::size_t>(pieces));
      EXPECT_EQ(split.front().from, serial_check_cutoff);
      EXPECT_EQ(split.back().to, to);
      for (std::size_t i = 0; i < split.size(); ++i) {
        EXPECT_LT(split[i].from, split[i].to);
        EXPECT_EQ(split[i].from % 2, 1u);
        if (i > 0) {
          EXPECT_EQ(split[i].from, split[i - 1].to);
        }
      }
    }
  }
  EXPECT_EQ(split_range({21, 316400222}, 4).size(), 4u);
  EXPECT_TRUE(split_range({21, 21}, 4).empty());
  EXPECT_EQ(split_range({21, 30}, 0), (std::vector<Range>{{21, 30}}));
}

}  // namespace
