#include "prime_chunks.hpp"

#include <gtest/gtest.h>

#include <set>

namespace lab::chunks {
namespace {

class Home : public ::testing::Environment {
  void SetUp() override { nursery = std::make_unique<start::Nursery>(); }
  void TearDown() override { nursery.reset(); }
};
::testing::Environment* const home = ::testing::AddGlobalTestEnvironment(new Home);

std::vector<std::optional<std::ptrdiff_t>> few_sizes(std::ptrdiff_t n) { return {{}, 7, 100, n - 1, n, n + 1}; }
std::vector<std::optional<std::ptrdiff_t>> many_sizes(std::ptrdiff_t n) {
  auto sizes = few_sizes(n);
  for (std::ptrdiff_t size = 1; size <= 64; ++size) sizes.push_back(size);
  sizes.push_back(1000);
  return sizes;
}

void expect_primes(int workers, const jobs::Job& job, bool shuffle,
                   const std::vector<std::optional<std::ptrdiff_t>>& sizes) {
  pool::Pool pool({.processes = workers, .nursery = nursery.get()});
  const Numbers numbers = shuffle ? shuffled(job.range) : in_order(job.range);
  for (const auto size : sizes) EXPECT_EQ(primes_by(pool, numbers, size), job.primes) << size.value_or(0);
}

TEST(JobA, Has551PrimesInChunksOfAnySize) {
  for (const int workers : {1, 2, 3}) expect_primes(workers, jobs::a, false, many_sizes(10'000));
}
TEST(JobA, Has551PrimesShuffled) { expect_primes(2, jobs::a, true, many_sizes(10'000)); }
TEST(JobB, Has5411Primes) {
  expect_primes(2, jobs::b, false, few_sizes(100'000));
  expect_primes(2, jobs::b, true, few_sizes(100'000));
}
TEST(JobC, Has54208Primes) { expect_primes(2, jobs::c, false, {{}}); }

TEST(Numbers, AreTheJobsAndAShuffleLosesNone) {
  EXPECT_EQ(job_of(10'000), jobs::a.range);
  EXPECT_EQ(job_of(100'000), jobs::b.range);
  EXPECT_EQ(job_of(1'000'000), jobs::c.range);
  Numbers mixed = shuffled(jobs::a.range);
  EXPECT_NE(mixed, in_order(jobs::a.range));
  EXPECT_EQ(mixed, shuffled(jobs::a.range));
  std::sort(mixed.begin(), mixed.end());
  EXPECT_EQ(mixed, in_order(jobs::a.range));
}

TEST(Typical, ThePrimeInTheMiddleTriesManyTimesTheDivisorsOfTheComposite) {
  const Numbers primes = typical(true), composites = typical(false);
  EXPECT_EQ(primes.size(), 1000u);
  EXPECT_EQ(composites.size(), 1000u);
  EXPECT_TRUE(std::ranges::all_of(primes, is_prime));
  EXPECT_TRUE(std::ranges::none_of(composites, is_prime));
  EXPECT_LE(smallest_odd_divisor(composites[500], {3, 1000}), 31u);
  EXPECT_GE(isqrt(primes[500]), 600u);
}

TEST(PrimesFrom, AreTheFirstHundred) {
  EXPECT_EQ(primes_from(2).front(), 2u);
  EXPECT_EQ(primes_from(2).back(), 541u);
}

}  // namespace
}  // namespace lab::chunks
