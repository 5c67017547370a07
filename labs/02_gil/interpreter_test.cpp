#include "interpreter.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "gil.hpp"
#include "old_gil.hpp"

namespace lab::gil {
namespace {

constexpr auto back_edges_and_calls = CheckPoints::back_edges_and_calls;
constexpr auto every_instruction = CheckPoints::every_instruction;

/// Runs the program in that many threads at once and returns what is in x afterwards.
template <class Lock>
std::int64_t x_after(const Program& program, Lock& lock, CheckPoints check_points, int workers) {
  Globals globals;
  std::vector<std::thread> threads;
  for (int i = 0; i < workers; ++i) threads.emplace_back([&] { run(program, lock, globals, check_points); });
  for (std::thread& thread : threads) thread.join();
  return globals.x;
}

/// Tries until an update was lost, for 30 s at most. Says false if none ever was.
template <class MakeLock>
bool loses_updates(const Program& program, std::int64_t times, CheckPoints check_points, MakeLock make_lock) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (std::chrono::steady_clock::now() < deadline) {
    auto lock = make_lock();
    const std::int64_t x = x_after(program, *lock, check_points, 3);
    EXPECT_LE(x, 3 * times);
    if (x < 3 * times) return true;
  }
  return false;
}

std::unique_ptr<Gil> impatient_gil() { return std::make_unique<Gil>(std::chrono::microseconds(1)); }

TEST(Interpreter, CountsDownUnderEveryLock) {
  Globals globals;
  Gil gil;
  OldGil old_gil;
  NoLock none;
  for (const auto check_points : {back_edges_and_calls, every_instruction}) {
    for (const std::int64_t n : {1, 2, 1000}) {
      EXPECT_EQ(run(countdown(n), gil, globals, check_points), 0);
      EXPECT_EQ(run(countdown(n), old_gil, globals, check_points), 0);
      EXPECT_EQ(run(countdown(n), none, globals, check_points), 0);
    }
  }
  EXPECT_EQ(globals.x, 0);
}

TEST(Interpreter, RefusesToCountDownFromNothing) {
  EXPECT_THROW(countdown(0), std::invalid_argument);
  EXPECT_THROW(add_to_global(-1), std::invalid_argument);
  EXPECT_THROW(add_call_to_global(0), std::invalid_argument);
}

TEST(Interpreter, OneThreadAddsExactly) {
  for (const auto check_points : {back_edges_and_calls, every_instruction}) {
    Gil gil;
    EXPECT_EQ(x_after(add_to_global(1000), gil, check_points, 1), 1000);
    EXPECT_EQ(x_after(add_call_to_global(1000), gil, check_points, 1), 1000);
  }
}

TEST(Interpreter, CallsTheFunction) {
  Globals globals;
  globals.f = [] { return std::int64_t{7}; };
  NoLock none;
  run(add_call_to_global(6), none, globals);
  EXPECT_EQ(globals.x, 42);
}

TEST(Interpreter, SpinsUntilItIsToldToStop) {
  Globals globals;
  globals.x = 1;
  Gil gil(std::chrono::microseconds(1));
  std::thread spinner([&] { EXPECT_EQ(run(spin_while_x(), gil, globals), 0); });
  for (int i = 0; i < 20; ++i) {
    const Held held(gil);  // the spinner lets go when asked, whenever it has begun
    if (i == 19) globals.x = 0;
  }
  spinner.join();
}

TEST(Interpreter, GivesTheLockBackWhenACallThrows) {
  Globals globals;
  globals.f = []() -> std::int64_t { throw std::runtime_error("f failed"); };
  Gil gil;
  EXPECT_THROW(run(add_call_to_global(1), gil, globals), std::runtime_error);
  EXPECT_THROW(gil.drop(), std::logic_error) << "nobody holds it any more";
}

TEST(Interpreter, ChecksAtEveryBackEdgeOrAtEveryInstruction) {
  struct Counting : NoLock {
    int checks = 0;
    void check_point() { ++checks; }
  };
  Globals globals;
  Counting edges, all, calls;
  run(add_to_global(10), edges, globals, back_edges_and_calls);
  EXPECT_EQ(edges.checks, 9) << "the last jump is not taken";
  run(add_to_global(10), all, globals, every_instruction);
  EXPECT_EQ(all.checks, 1 + 10 * 6);
  run(add_call_to_global(10), calls, globals, back_edges_and_calls);
  EXPECT_EQ(calls.checks, 9 + 10);
}

// The lock must have changed hands often enough for a loss to be possible: the run goes on until it has.
TEST(LostUpdate, NeverWithCheckPointsAtBackEdgesOnly) {
  Gil gil(std::chrono::microseconds(1));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (gil.switches() < 300 && std::chrono::steady_clock::now() < deadline) {
    ASSERT_EQ(x_after(add_to_global(2000), gil, back_edges_and_calls, 3), 6000);
  }
  EXPECT_GE(gil.switches(), 300);
}

TEST(LostUpdate, WithACheckPointAtEveryInstruction) {
  EXPECT_TRUE(loses_updates(add_to_global(5000), 5000, every_instruction, impatient_gil));
}

TEST(LostUpdate, WithACallInsideTheUpdate) {
  EXPECT_TRUE(loses_updates(add_call_to_global(5000), 5000, back_edges_and_calls, impatient_gil));
}

TEST(LostUpdate, NeverUnderTheOldLockWithCheckPointsAtBackEdgesOnly) {
  OldGil old_gil;
  EXPECT_EQ(x_after(add_to_global(5000), old_gil, back_edges_and_calls, 3), 15'000);
}

TEST(LostUpdate, WithoutALockNothingIsAddedTwice) {
  NoLock none;
  const std::int64_t x = x_after(add_to_global(5000), none, back_edges_and_calls, 3);
  EXPECT_GT(x, 0);
  EXPECT_LE(x, 15'000);
}

}  // namespace
}  // namespace lab::gil
