#include "common/kernels/search.hpp"

#include <gtest/gtest.h>

#include "common/kernels/test_instructions.hpp"

namespace {

using namespace lab;

/// Is found raised at the k-th look (never: 0), and remembers who looked and who raised it.
struct Watched {
  std::uint64_t raised_at = 0, looks = 0, raises = 0;
  bool raised() { return ++looks == raised_at; }
  void raise() { ++raises; }
};

std::uint64_t candidates_in(Range piece) {
  std::uint64_t count = 0;
  for (std::uint64_t d = std::max<std::uint64_t>(piece.from, 3); d < piece.to; ++d) count += d % 2;
  return count;
}

TEST(Search, TestsEveryCandidateAndPollsAfterEachFullInterval) {
  for (const Range piece : {Range{21, 1021}, {3, 4}, {4, 5}, {22, 22}, {30, 20}, {0, 9}, {1, 2}, {101, 232}}) {
    for (const std::uint64_t every : std::vector<std::uint64_t>{1, 2, 7, 50, 500, 501, never}) {
      Watched flag;
      const Searched done = search(numbers::small_prime, piece, every, flag);
      EXPECT_EQ(done.factor, 0u);
      EXPECT_EQ(done.candidates, candidates_in(piece)) << piece.from << " to " << piece.to << " every " << every;
      EXPECT_EQ(done.polls, done.candidates / every);
      EXPECT_EQ(flag.looks, done.polls);
      EXPECT_EQ(flag.raises, 0u);
    }
  }
}

TEST(Search, AnIntervalOfNoneIsTakenForOne) {
  Watched flag;
  EXPECT_EQ(search(numbers::small_prime, {21, 121}, 0, flag).polls, 50u);
}

TEST(Search, StopsAtTheFactorAndRaisesTheFlagOnce) {
  Watched flag;
  const Searched done = search(101 * 103, {21, 1000}, 10, flag);
  EXPECT_EQ(done.factor, 101u);
  EXPECT_EQ(done.candidates, 41u);  // 21, 23 ... 101
  EXPECT_EQ(done.polls, 4u);
  EXPECT_EQ(flag.raises, 1u);
}

TEST(Search, StopsWhereTheFlagIsFoundRaised) {
  Watched flag{.raised_at = 3};
  const Searched done = search(numbers::small_prime, {21, 100'000}, 100, flag);
  EXPECT_EQ(done.factor, 0u);
  EXPECT_EQ(done.candidates, 300u);
  EXPECT_EQ(done.polls, 3u);
  EXPECT_EQ(flag.raises, 0u);
}

TEST(Search, AnInterpretersPaceChangesNoAnswer) {
  Watched flag;
  const Searched done = search(101 * 103, {21, 1000}, 10, flag, PythonPace{20});
  EXPECT_EQ(done.factor, 101u);
  EXPECT_EQ(done.candidates, 41u);
}

TEST(Search, TheTopOf64BitsDoesNotOverflow) {
  constexpr std::uint64_t largest = ~0ull;
  NoFlag none;
  EXPECT_EQ(search(largest - 58, {largest - 100, largest}, 7, none).factor, largest - 58);
  for (const std::uint64_t every : std::vector<std::uint64_t>{1, 13, never}) {
    EXPECT_EQ(search(2, {largest - 100, largest}, every, none).candidates, 50u);
    EXPECT_EQ(search(2, {largest - 100, largest - 1}, every, none).candidates, 50u);
  }
}

TEST(Search, SomePieceHasTheFactorHoweverManyThereAre) {
  struct Case {
    std::uint64_t n, factor;
  };
  for (const Case c : {Case{numbers::small_non_prime_1, 953111}, {numbers::small_non_prime_2, 1715683},
                       {3162277ull * 3162277, 0}, {1000003ull * 1000003, 1000003}, {23 * 23, 23}, {9973ull * 9973, 9973}}) {
    for (int workers = 1; workers <= 64; ++workers) {
      std::uint64_t found = 0, candidates = 0;
      NoFlag none;
      for (const Range piece : split_range({serial_check_cutoff, isqrt(c.n) + 1}, workers)) {
        const Searched done = search(c.n, piece, 1000, none);
        if (done.factor) found = done.factor;
        candidates += done.candidates;
      }
      EXPECT_EQ(found != 0, !is_prime(c.n)) << c.n << " by " << workers;
      if (c.factor) {
        EXPECT_EQ(found, c.factor);
      }
      EXPECT_GT(candidates, 0u);
    }
  }
}

// The loop over candidates is the same with a flag and without: what a poll costs is the flag's.
TEST(Search, AFlagCostsNothingBetweenPolls) {
  const auto executed = [](std::uint64_t to, std::uint64_t every, auto flag) {
    return instructions([=] {
      auto own = flag;
      return search(numbers::small_prime, {21, to}, every, own).candidates;
    });
  };
  const long few = executed(1021, never, NoFlag()), many = executed(2021, never, NoFlag());
  if (few < 0) GTEST_SKIP() << "instructions cannot be counted here";
  EXPECT_GE(many - few, 500 * 3) << "at least a remainder, a comparison and a branch a candidate";
  EXPECT_EQ(executed(2021, never, Watched()) - executed(1021, never, Watched()), many - few);
  // Nine polls more, with what surrounds them: a block's length, its end, the count of polls.
  EXPECT_LE(executed(1021, 50, Watched()) - executed(1021, never, Watched()), 10 * 100);  // sanitizers add theirs
}

}  // namespace
