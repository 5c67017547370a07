#include "common/os/futex.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "common/os/mapping.hpp"
#include "common/os/test_child.hpp"

namespace {

using namespace lab;

// Sleeps until `word` holds `value`; false when no wake-up came in time.
bool await(FutexWord& word, std::uint32_t value) {
  const Deadline deadline = soon();
  for (std::uint32_t now; (now = word.load()) != value;) {
    futex_wait(word, now, deadline);
    if (Clock::now() > deadline) return false;
  }
  return true;
}

TEST(Futex, TwoProcessesTakeTurns) {
  constexpr std::uint32_t kTurns = 1000;
  const Shared<FutexWord> turn(0u);
  const pid_t child = start_child([&] {
    for (std::uint32_t i = 0; i < kTurns; i += 2) {
      if (!await(*turn, i + 1)) throw std::runtime_error("not woken");
      turn->store(i + 2);
      futex_wake(*turn);
    }
  });
  for (std::uint32_t i = 0; i < kTurns; i += 2) {
    ASSERT_TRUE(await(*turn, i));
    turn->store(i + 1);
    futex_wake(*turn);
  }
  EXPECT_TRUE(await(*turn, kTurns));
  EXPECT_EQ(end_of(child), "status 0");
}

TEST(Futex, GivesUpAtTheDeadline) {
  FutexWord word{0};
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(20);
  while (Clock::now() < deadline) futex_wait(word, 0, deadline);
  futex_wait(word, 0, deadline);  // past: returns at once
}

TEST(Futex, DoesNotSleepOnAnotherValue) {
  FutexWord word{1};
  futex_wait(word, 0, Deadline::max());
}

}  // namespace
