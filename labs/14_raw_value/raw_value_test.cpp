#include "raw_value.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

#include "common/kernels/search.hpp"
#include "common/kernels/test_instructions.hpp"
#include "common/machine/environment.hpp"
#include "common/os/team.hpp"
#include "races.hpp"

namespace lab::sharedctypes {
namespace {

template <class V>
class AnyValue : public testing::Test {};
using Values = testing::Types<RawValue<std::uint64_t>, AtomicValue<std::uint64_t>, Value<std::uint64_t>>;
TYPED_TEST_SUITE(AnyValue, Values);
TYPED_TEST(AnyValue, IsSharedWithForkedProcesses) {
  TypeParam value(std::uint64_t{7});
  run_team({.size = 1}, [&](int) {
    if (value.get() != 7) throw std::runtime_error("the child does not see the initial value");
    value.set(1ull << 63);
    return 0;
  });
  EXPECT_EQ(value.get(), 1ull << 63);
}

template <class A>
class AnyArray : public testing::Test {};
using Arrays = testing::Types<RawArray<int>, Array<int>>;
TYPED_TEST_SUITE(AnyArray, Arrays);
TYPED_TEST(AnyArray, BeginsWithZerosAndChecksItsIndex) {
  TypeParam array(std::size_t{5});
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(array.get(i), 0);
  run_team({.size = 5}, [&](int worker) {
    array.set(static_cast<std::size_t>(worker), -worker);
    return 0;
  });
  for (int i = 0; i < 5; ++i) EXPECT_EQ(array.get(static_cast<std::size_t>(i)), -i);
  EXPECT_THROW(array.get(5), std::out_of_range);
  EXPECT_THROW(array.set(5, 1), std::out_of_range);
}

TEST(RLock, ItsHolderMayTakeItAgain) {
  Value<int> value(3);
  const std::lock_guard once(value.get_lock());
  const std::lock_guard twice(value.get_lock());
  value.set(value.get() + 1);
  EXPECT_EQ(value.get(), 4);
}

TEST(RLock, AKilledHolderIsReportedAndTheLockIsFreeAgain) {
  Value<int> value(3);
  EXPECT_THROW(run_team({.size = 1},
                        [&](int) {
                          value.get_lock().lock();
                          ::raise(SIGKILL);
                          return 0;
                        }),
               WorkerError);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW(value.get(), HolderDied);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(value.get(), 3);
}

// The poll that the search makes: the cell's address, the cell, a comparison, a branch.
TEST(Flag, APollOfARawValueIsOnePlainLoad) {
  const auto executed = [](std::uint64_t every, auto& flag) {
    return instructions([&] { return search(numbers::small_prime, {21, 2021}, every, flag).candidates; });
  };
  Flag<RawValue<std::uint8_t>> raw;
  Flag<Value<std::uint8_t>> locked;
  NoFlag none;
  const long floor = executed(10, none);
  if (floor < 0) GTEST_SKIP() << "ptrace is not permitted here";
  if (!untimeable()) {
    EXPECT_LE(executed(10, raw) - floor, 100 * 5 + 20) << "the compiler made more of it than a load";
  }
  EXPECT_GE(executed(10, locked) - floor, 100 * 20) << "Value takes its lock at each read";
}

TEST(Flag, StopsASearchThatPollsIt) {
  Flag<RawValue<std::uint8_t>> flag;
  const auto reports = run_team({.size = 2}, [&](int worker) {
    if (worker == 0) return flag.raise(), std::uint64_t{0};
    return search(~0ull - 58, {21, 1ull << 32}, 1, flag).candidates;  // would take seconds, if the poll left the loop
  });
  EXPECT_LT(reports[1].answer, 1ull << 31);
}

TEST(Races, WhatTakesALockOrIsAtomicLosesNothing) {
  constexpr std::uint64_t each = 1'000'000;
  AtomicValue<std::uint64_t> atomic;
  EXPECT_EQ(count_together(8, each, atomic, plainly), 8 * each);
  Value<std::uint64_t> locked(std::uint64_t{0});
  EXPECT_EQ(count_together(8, each, locked, under_its_lock), 8 * each);
}

TEST(Races, AloneNothingIsLost) {
  RawValue<std::uint64_t> raw;
  EXPECT_EQ(count_together(1, 100'000, raw, plainly), 100'000u);
}

TEST(Races, AFlagRaisedByAllIsSeenByAll) {
  Flag<RawValue<std::uint8_t>> flag;
  EXPECT_EQ(raise_together(3, 1000, flag), 3000u);
}

}  // namespace
}  // namespace lab::sharedctypes
