// How many rounds there are.
#include "common/harness/rounds.hpp"

#include <gtest/gtest.h>

namespace {

void nothing(benchmark::State& state) {
  for (auto _ : state) benchmark::ClobberMemory();
}
BENCHMARK(nothing)->Apply(lab::busy);

lab::Outcome measured(const lab::Plan& plan) { return lab::run_rounds(lab::list_variants({}), {}, plan); }

TEST(Rounds, AreAsManyAsPlanned) { EXPECT_EQ(measured({.rounds = 8, .least_seconds = 0}).rounds, 8); }

TEST(Rounds, EndWithThoseThatAVerdictTakesWhenTheTimeIsOver) {
  EXPECT_EQ(measured({.rounds = 8, .least_seconds = 0, .most_seconds = 0}).rounds, lab::kLeastRounds);
}

}  // namespace
