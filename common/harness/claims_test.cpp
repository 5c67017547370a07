// The judge on synthetic times: what is measured is made up here, so that the right answer is known.
#include "common/harness/claims.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace {

using lab::Claim;
using lab::ClaimResult;
using lab::Measurement;
using lab::ratio;

// Rounds in which variants have the times a test gives them.
class Rounds {
 public:
  template <class Seconds>
  Rounds& variant(const std::string& name, int rounds, Seconds seconds) {
    for (int r = 0; r < rounds; ++r) all_.push_back({.variant = name, .round = r, .seconds = seconds(r)});
    return *this;
  }
  Rounds& wrong(const std::string& name, int from, int to) {
    for (Measurement& m : all_) {
      if (m.variant == name && m.round >= from && m.round < to) m.wrong = "a job was lost";
    }
    return *this;
  }
  template <class Number>
  Rounds& counter(const std::string& name, const std::string& counter, Number number) {
    for (Measurement& m : all_) {
      if (m.variant == name) m.counters[counter] = number(m.round);
    }
    return *this;
  }
  ClaimResult judge(const lab::Measure& measure, const std::optional<std::string>& untimeable = {}) const {
    return lab::judge({.id = "a.claim", .text = "so it is", .measure = measure, .because = "of this"}, all_,
                      untimeable);
  }
  const std::vector<Measurement>& all() const { return all_; }

 private:
  std::vector<Measurement> all_;
};

// A small deterministic jitter: 0.98, 0.99, 1.00, 1.01, 1.02, again.
double jitter(int round) { return 0.98 + 0.01 * (round * 3 % 5); }
auto around(double seconds) {
  return [=](int round) { return seconds * jitter(round); };
}
auto flat(double seconds) {
  return [=](int) { return seconds; };
}

Rounds twice_as_slow(int rounds = 15) {
  return Rounds().variant("slow", rounds, around(2)).variant("fast", rounds, flat(1));
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Ratio, InsideTheBandIsHeld) {
  const ClaimResult r = twice_as_slow().judge(ratio("slow", "fast").within(1.9, 2.1));
  EXPECT_EQ(r.verdict, "held");
  EXPECT_EQ(r.kind, "ratio");
  EXPECT_DOUBLE_EQ(r.estimate.value(), 2);
  EXPECT_DOUBLE_EQ(r.low.value(), 1.98);  // 4th and 12th of 15: three each of 1.96, 1.98, 2.00, 2.02, 2.04
  EXPECT_DOUBLE_EQ(r.high.value(), 2.02);
  EXPECT_EQ(r.band_low, 1.9);
  EXPECT_EQ(r.band_high, 2.1);
  EXPECT_EQ(r.used_rounds, 15);
  EXPECT_EQ(r.rounds, 15);
  EXPECT_EQ(r.reason, "of this");
}

TEST(Ratio, OutsideTheBandIsNotHeld) {
  EXPECT_EQ(twice_as_slow().judge(ratio("slow", "fast").at_most(1.5)).verdict, "not held");
  EXPECT_EQ(twice_as_slow().judge(ratio("slow", "fast").at_least(2.5)).verdict, "not held");
  EXPECT_EQ(twice_as_slow().judge(ratio("slow", "fast").within(0.9, 1.1)).verdict, "not held");
}

TEST(Ratio, AcrossAnEdgeCannotTell) {
  for (const auto& point :
       {ratio("slow", "fast").at_most(2), ratio("slow", "fast").at_least(2), ratio("slow", "fast").within(2, 2)}) {
    const ClaimResult r = twice_as_slow().judge(point);
    EXPECT_EQ(r.verdict, "can't tell");
    EXPECT_EQ(r.reason, "the interval crosses the band's edge");
  }
}

TEST(Ratio, OpenBandsHaveNoEdgeThere) {
  const ClaimResult r = twice_as_slow().judge(ratio("slow", "fast").at_most(3));
  EXPECT_EQ(r.verdict, "held");
  EXPECT_FALSE(r.band_low);
  EXPECT_EQ(r.band_high, 3);
}

TEST(Ratio, DriftCommonToBothSidesCancels) {
  const auto drift = [](double seconds) {  // thrice as slow at the end, and a jump in the middle
    return [=](int round) {
      return seconds * (1 + 2.0 * round / 14) * (round > 7 ? 2 : 1) * (seconds > 1 ? jitter(round) : 1);
    };
  };
  const ClaimResult r = Rounds()
                            .variant("slow", 15, drift(1.1))
                            .variant("fast", 15, drift(1))
                            .judge(ratio("slow", "fast").within(1.05, 1.15));
  EXPECT_EQ(r.verdict, "held");
  EXPECT_LT(r.high.value() - r.low.value(), 0.04);
}

TEST(Ratio, RoundsWithAWrongAnswerDoNotCount) {
  auto wild = [](int round) { return round >= 5 && round < 12 ? 9.0 : 2 * jitter(round); };
  Rounds rounds = Rounds().variant("slow", 15, wild).variant("fast", 15, flat(1));
  const auto claim = ratio("slow", "fast").within(1.9, 2.1);
  EXPECT_EQ(rounds.judge(claim).verdict, "can't tell");
  const ClaimResult r = rounds.wrong("slow", 5, 12).judge(claim);
  EXPECT_EQ(r.verdict, "held");
  EXPECT_EQ(r.used_rounds, 8);
  EXPECT_EQ(r.rounds, 8);
  EXPECT_NEAR(r.estimate.value(), 2, 0.02);
}

TEST(Ratio, FewerThanSixRoundsCarryNoVerdict) {
  const auto claim = ratio("slow", "fast").within(1.9, 2.1);
  const ClaimResult six = twice_as_slow(6).judge(claim);
  EXPECT_EQ(six.verdict, "held");
  EXPECT_EQ(six.used_rounds, 6);
  EXPECT_DOUBLE_EQ(six.low.value(), 1.96);  // smallest and largest
  EXPECT_DOUBLE_EQ(six.high.value(), 2.04);
  const ClaimResult five = twice_as_slow(5).judge(claim);
  EXPECT_EQ(five.verdict, "can't tell");
  EXPECT_EQ(five.reason, "5 rounds are too few, a verdict takes 6");
  EXPECT_TRUE(five.estimate);
  EXPECT_FALSE(five.low);
  EXPECT_FALSE(twice_as_slow().wrong("slow", 0, 15).judge(claim).estimate);
  // Far outside the band changes nothing about that.
  EXPECT_EQ(twice_as_slow(5).judge(ratio("slow", "fast").at_most(1)).verdict, "can't tell");
}

TEST(Ratio, OfTiesIsExact) {
  const Rounds ties = Rounds().variant("a", 15, flat(3)).variant("b", 15, flat(3));
  EXPECT_EQ(ties.judge(ratio("a", "b").within(1, 1)).verdict, "held");
  EXPECT_EQ(ties.judge(ratio("a", "b").at_most(0.999)).verdict, "not held");
  const auto two_speeds = [](int round) { return round % 2 ? 1.2 : 1.0; };
  const Rounds split = Rounds().variant("a", 15, two_speeds).variant("b", 15, flat(1));
  EXPECT_EQ(split.judge(ratio("a", "b").at_most(1.1)).verdict, "can't tell");
  EXPECT_EQ(split.judge(ratio("a", "b").at_most(1.2)).verdict, "held");
}

TEST(Ratio, RoundsOfOneSideAloneAreNoRounds) {
  const ClaimResult r =
      Rounds().variant("slow", 40, around(2)).variant("fast", 15, flat(1)).judge(ratio("slow", "fast").at_most(3));
  EXPECT_EQ(r.rounds, 15);
  EXPECT_EQ(r.used_rounds, 15);
}

TEST(Ratio, OrderOfTakingDoesNotMatter) {
  Rounds rounds = twice_as_slow();
  auto shuffled = rounds.all();
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(1));
  const Claim claim{.measure = ratio("slow", "fast").at_most(3)};
  EXPECT_EQ(lab::judge(claim, shuffled, {}).low, lab::judge(claim, rounds.all(), {}).low);
}

TEST(Ratio, OfAMissingVariantCannotTell) {
  const ClaimResult r = twice_as_slow().judge(ratio("slow", "no_such").at_most(3));
  EXPECT_EQ(r.verdict, "can't tell");
  EXPECT_EQ(r.rounds, 0);
  EXPECT_EQ(Rounds().judge(ratio("a", "b").at_most(3)).verdict, "can't tell");
}

TEST(Ratio, NumbersThatAreNoneDoNotCount) {
  const lab::Value wait{"slow", "wait_us"};
  const auto claim = lab::compute({wait}, [](std::span<const double> x) { return x[0]; }).at_most(5);
  EXPECT_EQ(twice_as_slow().judge(claim).rounds, 0);  // no such counter
  const auto hole = [](int round) { return round < 8 ? 4.0 : round < 12 ? std::nan("") : HUGE_VAL; };
  const ClaimResult r = twice_as_slow().counter("slow", "wait_us", hole).judge(claim);
  EXPECT_EQ(r.verdict, "held");
  EXPECT_EQ(r.used_rounds, 8);
  EXPECT_EQ(r.estimate, 4);
  const Rounds by_zero = Rounds().variant("a", 15, flat(1)).variant("b", 15, flat(0));
  EXPECT_EQ(by_zero.judge(ratio("a", "b").at_most(3)).verdict, "can't tell");
}

TEST(Ratio, UnderASanitizerCannotTell) {
  const ClaimResult r = twice_as_slow().judge(ratio("slow", "fast").at_most(3), "built with a sanitizer");
  EXPECT_EQ(r.verdict, "can't tell");
  EXPECT_EQ(r.reason, "no timing counts: built with a sanitizer");
}

TEST(Compute, TakesAnyFunctionOfOneRound) {
  const Rounds rounds = twice_as_slow().counter("slow", "items", flat(10));
  const auto rate = lab::compute({lab::Value("slow", "items"), "slow", "fast"},
                                 [](std::span<const double> x) { return x[0] / (x[1] - x[2]); });
  EXPECT_NEAR(rounds.judge(rate.within(9, 11)).estimate.value(), 10, 1e-9);
}

// Five points, a/i over b, that are all 1 but for jitter.
struct FivePoints {
  explicit FivePoints(int rounds) {
    times.variant("b", rounds, flat(1));
    for (int i = 0; i < 5; ++i) times.variant(name(i), rounds, around(1));
  }
  static std::string name(int i) { return "a/workers:" + std::to_string(i); }
  lab::Measure model(double low = 0.9, double high = 1.1) const {
    std::vector<lab::Point> points;
    for (int i = 0; i < 5; ++i)
      points.push_back(ratio(name(i), "b").within(low, high).labelled(std::to_string(i) + " workers"));
    return lab::model(points);
  }
  Rounds times;
};

TEST(Model, HoldsWhenEveryPointDoes) {
  const FivePoints five(15);
  const ClaimResult r = five.times.judge(five.model());
  EXPECT_EQ(r.verdict, "held");
  EXPECT_EQ(r.kind, "model");
  EXPECT_TRUE(contains(r.reason, "5 points")) << r.reason;
}

TEST(Model, WidensIntervalsForTheNumberOfPoints) {
  // 99 % for each of five is 95 % for all: that takes 8 rounds, where a single ratio takes 6.
  const FivePoints seven(7), eight(8);
  const ClaimResult r = seven.times.judge(seven.model());
  EXPECT_EQ(r.verdict, "can't tell");
  EXPECT_TRUE(contains(r.reason, "7 rounds are too few for 5 points at once")) << r.reason;
  EXPECT_EQ(eight.times.judge(eight.model()).verdict, "held");
  EXPECT_EQ(seven.times.judge(ratio("a/workers:0", "b").within(0.9, 1.1)).verdict, "held");
}

TEST(Model, FailsWithOnePoint) {
  FivePoints five(15);
  five.times.variant("slow", 15, around(1.3));
  lab::Measure model = five.model();
  model.points[3] = ratio("slow", "b").within(0.9, 1.1).labelled("the slow one");
  const ClaimResult r = five.times.judge(model);
  EXPECT_EQ(r.verdict, "not held");
  EXPECT_TRUE(contains(r.reason, "the slow one")) << r.reason;
  EXPECT_NEAR(r.estimate.value(), 1.3, 0.01);
  five.times.wrong("a/workers:0", 0, 15);  // what is known to be outside stays so
  EXPECT_EQ(five.times.judge(model).verdict, "not held");
}

TEST(Model, CannotTellWhenOnePointCannot) {
  FivePoints five(15);
  five.times.variant("near", 15, around(1.1));
  lab::Measure model = five.model();
  model.points[1] = ratio("near", "b").within(0.9, 1.1).labelled("the near one");
  const ClaimResult r = five.times.judge(model);
  EXPECT_EQ(r.verdict, "can't tell");
  EXPECT_TRUE(contains(r.reason, "the near one")) << r.reason;
  model.points[4] = ratio("no_such", "b").within(0.9, 1.1);
  EXPECT_TRUE(contains(five.times.judge(model).reason, "not measured"));
}

TEST(Model, ShowsThePointNearestItsEdge) {
  const Rounds rounds =
      Rounds().variant("b", 15, flat(1)).variant("a/1", 15, around(1.2)).variant("a/2", 15, around(9));
  const auto shown = [&](const lab::Point& first, const lab::Point& second) {
    return rounds.judge(lab::model({first.labelled("1"), second.labelled("2")})).estimate.value();
  };
  EXPECT_NEAR(shown(ratio("a/1", "b").at_least(1), ratio("a/2", "b").at_least(1)), 1.2, 0.01);
  EXPECT_NEAR(shown(ratio("a/2", "b").at_least(1), ratio("a/1", "b").at_least(1)), 1.2, 0.01);
  EXPECT_NEAR(shown(ratio("a/1", "b").at_most(10), ratio("a/2", "b").at_most(10)), 9, 0.1);
  EXPECT_NEAR(shown(ratio("a/1", "b").within(1, 10), ratio("a/2", "b").within(1, 100)), 1.2, 0.01);
}

TEST(Model, WithoutPointsNeedsAnotherMachine) { EXPECT_EQ(Rounds().judge(lab::model({})).verdict, "needs"); }

TEST(Fact, IsWhatWasSeen) {
  const auto seen = [](bool holds, bool known) {
    return Rounds().judge(lab::fact([=] { return lab::Seen{holds, "3 of 4", known}; }), "built with a sanitizer");
  };
  EXPECT_EQ(seen(true, true).verdict, "held");  // a fact is no timing: a sanitizer does not matter
  EXPECT_EQ(seen(true, true).reason, "3 of 4 · of this");
  EXPECT_EQ(seen(false, true).verdict, "not held");
  EXPECT_EQ(seen(false, true).reason, "3 of 4");
  EXPECT_EQ(seen(false, false).verdict, "can't tell");
  EXPECT_EQ(seen(true, false).verdict, "can't tell");
  EXPECT_EQ(seen(true, true).kind, "fact");
  EXPECT_FALSE(seen(true, true).estimate);
  EXPECT_EQ(seen(true, true).rounds, 0);
}

TEST(Fact, AboutCorrectnessIsMarkedSo) {
  EXPECT_TRUE(lab::correctness([] { return lab::Seen{}; }).correctness);
  EXPECT_FALSE(lab::fact([] { return lab::Seen{}; }).correctness);
  EXPECT_EQ(Rounds()
                .judge(lab::correctness([] {
                  return lab::Seen{false, "an update was lost"};
                }))
                .verdict,
            "not held");
}

TEST(Needs, IsNotLookedAt) {
  bool looked = false;
  const Claim claim{.text = "so it is",
                    .measure = lab::fact([&] { return looked = true, lab::Seen{}; }),
                    .needs = "2 cores; one is allowed here"};
  const ClaimResult r = lab::judge(claim, {}, {});
  EXPECT_EQ(r.verdict, "needs");
  EXPECT_EQ(r.reason, "needs 2 cores; one is allowed here");
  EXPECT_FALSE(looked);
}

TEST(Floor, IsAPairedRatio) {
  const auto floor = lab::judge_floor("slow", "fast", twice_as_slow().all());
  EXPECT_EQ(floor.mechanism, "slow");
  EXPECT_EQ(floor.floor, "fast");
  EXPECT_DOUBLE_EQ(floor.ratio.value(), 2);
  EXPECT_DOUBLE_EQ(floor.low.value(), 1.98);
  EXPECT_FALSE(lab::judge_floor("slow", "fast", twice_as_slow(5).all()).low);
  EXPECT_TRUE(lab::judge_floor("slow", "fast", twice_as_slow(5).all()).ratio);
  EXPECT_FALSE(lab::judge_floor("slow", "no_such", twice_as_slow().all()).ratio);
}

// How often the judge sees a difference in 100 runs of 15 rounds under 3 % of log-normal noise.
int differences_seen(double true_ratio, unsigned seed) {
  std::mt19937 random(seed);
  std::lognormal_distribution<double> noise(0, 0.03);
  int seen = 0;
  for (int run = 0; run < 100; ++run) {
    const Rounds rounds =
        Rounds().variant("a", 15, [&](int) { return true_ratio * noise(random); }).variant("b", 15, [&](int) {
          return noise(random);
        });
    seen += rounds.judge(ratio("a", "b").within(1, 1)).verdict == "not held";
  }
  return seen;
}

TEST(Judge, RarelySeesWhatIsNotThere) {
  for (const unsigned seed : {1u, 2u, 3u}) EXPECT_LE(differences_seen(1.0, seed), 9);
}

TEST(Judge, NearlyAlwaysSeesTenPercent) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    EXPECT_GE(differences_seen(1.1, seed), 95);
    EXPECT_GE(differences_seen(1 / 1.1, seed), 95);
  }
}

}  // namespace
