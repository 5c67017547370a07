#include "common/kernels/busy_wait.hpp"

#include <gtest/gtest.h>

#include "common/kernels/test_instructions.hpp"

namespace {

TEST(BusyWait, EndsAtZero) {
  EXPECT_EQ(lab::busy_wait(0), 0u);
  EXPECT_EQ(lab::busy_wait(1'000'000), 0u);
}

TEST(BusyWait, EveryCountIsExecuted) {
  const auto counting = [](std::uint64_t n) { return lab::instructions([n] { return lab::busy_wait(n); }); };
  const long few = counting(128), twice = counting(256), many = counting(1280);
  if (few < 0) GTEST_SKIP() << "instructions cannot be counted here";
  EXPECT_GE(twice - few, 128 * 2) << "at least a subtraction and a branch a count";
  EXPECT_EQ(many - few, 9 * (twice - few)) << "the cost must be linear in n";
}

}  // namespace
