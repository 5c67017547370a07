#include "common/harness/statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <stdexcept>

namespace {

std::vector<double> one_to(int n) {
  std::vector<double> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), 1.0);
  std::shuffle(values.begin(), values.end(), std::mt19937(static_cast<unsigned>(n)));
  return values;
}

// Counted, not computed: of the 2^n ways in which n values can lie below or above the median, those with fewer than k
// below. Returns the largest k for which the k-th smallest and k-th largest value miss the median at most once in
// `one_in`; 0: none.
int order_statistic(int n, std::uint64_t one_in) {
  std::vector<std::uint64_t> ways{1};  // a row of Pascal's triangle
  for (int row = 1; row <= n; ++row) {
    ways.push_back(0);
    for (std::size_t i = ways.size() - 1; i > 0; --i) ways[i] += ways[i - 1];
  }
  std::uint64_t below = 0;
  int k = 0;
  while (2 * (k + 1) <= n && 2 * (below + ways[k]) * one_in <= std::uint64_t{1} << n) below += ways[k++];
  return k;
}

TEST(Median, IsTheMiddleOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(lab::median({3}), 3);
  EXPECT_EQ(lab::median({9, 1, 5}), 5);
  EXPECT_EQ(lab::median({4, 1, 9, 2}), 3);
  EXPECT_THROW(lab::median({}), std::invalid_argument);
}

TEST(MedianInterval, HasExactBinomialCoverage) {
  for (const auto& [confidence, one_in] : {std::pair(0.95, 20u), std::pair(0.99, 100u)}) {
    for (int n = 1; n <= 40; ++n) {
      const int k = order_statistic(n, one_in);
      const auto interval = lab::median_interval(one_to(n), confidence);
      ASSERT_EQ(interval.has_value(), k > 0) << n << " values at " << confidence;
      if (!interval) continue;
      EXPECT_EQ(interval->low, k) << n << " values at " << confidence;
      EXPECT_EQ(interval->high, n + 1 - k) << n << " values at " << confidence;
    }
  }
}

TEST(MedianInterval, HasTheKnownValues) {
  const auto at = [](int n, double confidence) {
    const auto interval = lab::median_interval(one_to(n), confidence);
    return interval ? std::pair(interval->low, interval->high) : std::pair(0.0, 0.0);
  };
  EXPECT_EQ(at(0, 0.95), std::pair(0.0, 0.0));
  EXPECT_EQ(at(5, 0.95), std::pair(0.0, 0.0));
  EXPECT_EQ(at(6, 0.95), std::pair(1.0, 6.0));
  EXPECT_EQ(at(7, 0.99), std::pair(0.0, 0.0));
  EXPECT_EQ(at(8, 0.99), std::pair(1.0, 8.0));
  EXPECT_EQ(at(15, 0.95), std::pair(4.0, 12.0));
  EXPECT_EQ(at(31, 0.95), std::pair(10.0, 22.0));
}

TEST(MedianInterval, StandsBigSamplesAndTies) {
  const auto interval = lab::median_interval(one_to(1000), 0.95);
  ASSERT_TRUE(interval);
  EXPECT_NEAR(interval->low, 500 - 1.96 * std::sqrt(1000) / 2, 2);  // the normal approximation
  EXPECT_NEAR(interval->high, 501 + 1.96 * std::sqrt(1000) / 2, 2);
  const auto tie = lab::median_interval(std::vector<double>(15, 2.5), 0.95);
  ASSERT_TRUE(tie);
  EXPECT_EQ(tie->low, 2.5);
  EXPECT_EQ(tie->high, 2.5);
}

}  // namespace
