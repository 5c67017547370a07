// The interval judge on machines that are made up: how often is it wrong, and how often does it answer? Each machine runs
// a claim whose true ratio is known, 200 times, and the verdict is compared with what is true.
#include "common/harness/interval.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "common/harness/claims.hpp"

namespace {

using lab::ClaimResult;
using lab::Measurement;
using Random = std::mt19937;

constexpr double kSpin = 0.3e-3;
constexpr int kRounds = 22, kRuns = 200;

// A machine of two CPUs, or hardware threads, whose speed changes as time goes by.
struct Machine {
  std::vector<double> levels = {1};      // paces a CPU changes between at random
  double dwell = 0.5;                    // mean seconds at a level
  std::vector<double> fixed = {1, 1};    // a lasting pace of each CPU
  std::vector<double> crowded = {1, 1};  // pace with one CPU busy, with both (turbo, hardware threads)
  double foreign = 0;                    // share of the time another process takes half of a CPU
};

// A variant: how many workers, what it takes, and which share of the yardstick's slowness its code feels.
struct Variant {
  int workers = 1;
  double seconds = 0.02, felt = 1;
};

class Run {
 public:
  Run(const Machine& machine, unsigned seed) : machine_(machine), random_(seed), speed_(2, 1), until_(2, 0) {}

  Measurement measure(const std::string& name, int round, const Variant& v) {
    Measurement m{.variant = name, .round = round, .busy = v.workers};
    const double work = v.seconds * std::exp(0.015 * normal_(random_));
    double slowest = 0;
    for (int cpu = 0; cpu < v.workers; ++cpu) {
      const double before = pace(cpu, v.workers, now_);
      // The speed may change once in the middle of the work.
      const double change = now_ + work * uniform_(random_);
      const double share = (change - now_) / work, after = pace(cpu, v.workers, now_ + work);
      // What the code is slowed down to is relative to what so many busy CPUs can do.
      const double at_best = std::max(machine_.fixed[0], machine_.fixed[1]) * machine_.levels[0] *
                             (v.workers == 2 && !clock ? machine_.crowded[1] : 1);
      const auto slow = [&](double pace) { return 1 + v.felt * (at_best / pace - 1); };
      double time = work / at_best * (share * slow(before) + (1 - share) * slow(after));
      const bool taken = uniform_(random_) < machine_.foreign;
      if (taken) time *= 2;
      m.kept = std::min(m.kept, taken ? 0.5 : 1);
      m.paces.push_back({spin(cpu, before), spin(cpu, after)});
      slowest = std::max(slowest, time);
    }
    m.seconds = slowest;
    now_ += slowest + 0.1;
    return m;
  }

  bool clock = false;

 private:
  double pace(int cpu, int busy, double at) {
    while (until_[cpu] <= at) {
      speed_[cpu] = machine_.levels[random_() % machine_.levels.size()];
      until_[cpu] = std::max(until_[cpu], 0.0) + machine_.dwell * (0.2 + 0.8 * exponential_(random_));
    }
    return machine_.fixed[cpu] * speed_[cpu] * machine_.crowded[busy - 1];
  }
  lab::Pace spin(int cpu, double pace) { return {cpu, 0, kSpin / pace * (1 + 0.004 * normal_(random_))}; }

  Machine machine_;
  Random random_;
  std::vector<double> speed_, until_;
  double now_ = 0;
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> uniform_;
  std::exponential_distribution<double> exponential_;
};

struct Tally {
  int held = 0, not_held = 0, told = 0;
};

// Judges the ratio of a to b, 200 times anew; `shape` sets band and kind of code.
Tally judge(const Machine& machine, const Variant& a, const Variant& b, std::function<lab::Point(lab::Point)> shape) {
  Tally tally;
  for (unsigned seed = 1; seed <= kRuns; ++seed) {
    Run run(machine, seed);
    const lab::Point point = shape(lab::ratio("a", "b"));
    run.clock = point.clock;
    std::vector<Measurement> all;
    for (int round = 0; round < kRounds; ++round) {
      const bool first = (seed + static_cast<unsigned>(round)) % 2;
      if (first) all.push_back(run.measure("a", round, a));
      all.push_back(run.measure("b", round, b));
      if (!first) all.push_back(run.measure("a", round, a));
      for (const int workers : {1, 2, 2}) all.push_back(run.measure("another variant of the lab", round, {workers}));
    }
    const std::string verdict = lab::judge({.measure = point}, all, {}).verdict;
    tally.held += verdict == "held";
    tally.not_held += verdict == "not held";
  }
  tally.told = tally.held + tally.not_held;
  return tally;
}

struct Named {
  const char* name;
  Machine machine;
};
const std::vector<Named> kMachines = {
    {"steady at full speed", {}},
    {"both CPUs steady at 45 %", {.fixed = {0.45, 0.45}}},
    {"one at 45 %, one at 100 %", {.fixed = {0.45, 1}}},
    {"pace changing between rounds", {.levels = {1, 0.9, 0.47}}},
    {"mostly slow", {.levels = {1, 0.47, 0.47, 0.47, 0.47, 0.47}}},
    {"turbo", {.crowded = {1, 0.72}}},
    {"two hardware threads of a core", {.crowded = {1, 0.55}}},
    {"a foreign process on and off", {.foreign = 0.4}},
};

// The share-nothing speed-up of two workers: one does all in 40 ms, two half of it each.
constexpr Variant kOne{.workers = 1, .seconds = 0.04}, kTwo{.workers = 2, .seconds = 0.02};

TEST(Machines, DoNotMakeTheJudgeSayWhatIsWrong) {
  // The band's edge lies 1 % to the wrong side of the truth, where an error is likeliest. What is true with turbo or
  // hardware threads is what the clock says.
  for (const auto& [name, machine] : kMachines) {
    const bool clock = machine.crowded[1] < 1;
    const double speed_up = 2 * machine.crowded[1];
    const auto shaped = [&](double low, double high, bool own) {
      return [=](lab::Point p) {
        p = p.within(low, high);
        if (own) p = p.own_kernel();
        return clock ? p.by_the_clock() : p;
      };
    };
    for (const bool own : {false, true}) {
      EXPECT_LE(judge(machine, kOne, kTwo, shaped(0, 0.99 * speed_up, own)).held, kRuns / 20) << name << own;
      EXPECT_LE(judge(machine, kOne, kTwo, shaped(1.01 * speed_up, 99, own)).held, kRuns / 20) << name << own;
      EXPECT_LE(judge(machine, kOne, kTwo, shaped(0, 1.01 * speed_up, own)).not_held, kRuns / 20) << name << own;
      EXPECT_LE(judge(machine, kOne, kTwo, shaped(0.99 * speed_up, 99, own)).not_held, kRuns / 20) << name << own;
    }
  }
}

TEST(Machines, DoNotMakeTheJudgeWrongAboutCodeThatFeelsSlownessDifferently) {
  const Variant copies{.seconds = 0.02, .felt = 0.05}, computes{.seconds = 0.02, .felt = 1};
  for (const auto& [name, machine] : kMachines) {
    for (const auto& [a, b] : {std::pair(copies, computes), std::pair(computes, copies)}) {
      EXPECT_LE(judge(machine, a, b, [](lab::Point p) { return p.at_most(0.99); }).held, kRuns / 20) << name;
      EXPECT_LE(judge(machine, a, b, [](lab::Point p) { return p.at_least(1.01); }).held, kRuns / 20) << name;
    }
  }
}

TEST(Machines, LetAClaimFarFromItsEdgeBeTold) {
  for (const auto& [name, machine] : kMachines) {
    const Tally far = judge(machine, {.seconds = 0.1}, {.seconds = 0.02}, [](lab::Point p) { return p.at_least(1.5); });
    EXPECT_GE(far.held, kRuns * 95 / 100) << name;
  }
}

TEST(Machines, LetASpeedUpBeToldOfTheYardsticksOwnKernel) {
  for (const auto& [name, machine] : kMachines) {
    if (machine.crowded[1] < 1 || machine.foreign > 0) continue;
    const Tally own = judge(machine, kOne, kTwo, [](lab::Point p) { return p.within(1.8, 2.1).own_kernel(); });
    EXPECT_GE(own.held, kRuns * 90 / 100) << name;
    EXPECT_EQ(own.not_held, 0) << name;
  }
}

TEST(Machines, WithTurboCompareTeamsOfOneSizeAtTheirOwnFullSpeed) {
  const Tally alike = judge({.crowded = {1, 0.72}}, kTwo, kTwo, [](lab::Point p) { return p.within(0.95, 1.05); });
  EXPECT_GE(alike.held, kRuns * 95 / 100);
}

TEST(Machines, WithTwoHardwareThreadsGainLittleByTheClock) {
  const Tally little = judge({.crowded = {1, 0.55}}, kOne, kTwo,
                             [](lab::Point p) { return p.at_most(1.2).own_kernel().by_the_clock(); });
  EXPECT_GE(little.held, kRuns * 90 / 100);
}

// Measurements by hand: 15 rounds of a and b, of one CPU each.
std::vector<Measurement> rounds(double a, double b, const std::function<void(Measurement&)>& change = {}) {
  std::vector<Measurement> all;
  for (int round = 0; round < 15; ++round) {
    for (const auto& [name, seconds] : {std::pair("a", a), std::pair("b", b)}) {
      Measurement m{.variant = name, .round = round, .seconds = seconds, .paces = {{{0, 0, kSpin}, {0, 0, kSpin}}}};
      if (change) change(m);
      all.push_back(m);
    }
  }
  return all;
}

TEST(Sleeper, IsNotStretchedByASlowCpu) {
  const auto slow = [](double share) {
    return rounds(2, 1, [=](Measurement& m) {
      if (m.round > 0) m.paces[0] = {{0, 0, 2 * kSpin}, {0, 0, 2 * kSpin}};
      m.cpu_share = share;
    });
  };
  const auto point = lab::ratio("a", "b").within(1.9, 2.1);
  EXPECT_EQ(lab::judge({.measure = point}, slow(0.02), {}).verdict, "held");
  const ClaimResult busy = lab::judge({.measure = point}, slow(1), {});
  EXPECT_EQ(busy.verdict, "can't tell");
  EXPECT_NE(busy.reason.find("CPU 0 ran at 50 to"), std::string::npos) << busy.reason;
}

TEST(Counts, AreNotWidened) {
  const auto slow = rounds(2, 1, [](Measurement& m) {
    if (m.round > 0) m.paces[0] = {{0, 0, 2 * kSpin}, {0, 0, 2 * kSpin}};
    m.counters = {{"polls", 100}, {"wait_us", 100}};
  });
  const auto of = [&](const char* counter) {
    return lab::judge({.measure = lab::compute({{"a", counter}}, [](auto x) { return x[0]; }).within(99, 101)}, slow,
                      {});
  };
  EXPECT_EQ(of("polls").verdict, "held");
  EXPECT_EQ(of("wait_us").verdict, "can't tell");
}

TEST(NarrowBands, AreNotToldFromWhatWiderOnesOverlook) {
  // 3 % more by the clock, on a CPU that was 1.5 % slow all the time: perhaps 3 %, perhaps half of that.
  const auto slow = rounds(1.03, 1, [](Measurement& m) {
    if (m.variant == "a") m.paces[0] = {{0, 0, kSpin / 0.985}, {0, 0, kSpin / 0.985}};
  });
  EXPECT_EQ(lab::judge({.measure = lab::ratio("a", "b").within(0.98, 1.02)}, slow, {}).verdict, "can't tell");
  EXPECT_EQ(lab::judge({.measure = lab::ratio("a", "b").within(0.9, 1.1)}, slow, {}).verdict, "held");
  const auto delayed = rounds(1.03, 1, [](Measurement& m) { m.kept = m.variant == "a" ? 0.985 : 1; });
  EXPECT_EQ(lab::judge({.measure = lab::ratio("a", "b").within(0.98, 1.02)}, delayed, {}).verdict, "can't tell");
}

TEST(Kinds, HaveFullSpeedsOfTheirOwn) {
  // An efficiency core at half the speed of the others, always: that is what it can do.
  const auto hybrid = rounds(2, 1, [](Measurement& m) {
    if (m.variant == "a") m.paces[0] = {{4, 1, 2 * kSpin}, {4, 1, 2 * kSpin}};
  });
  EXPECT_EQ(lab::judge({.measure = lab::ratio("a", "b").within(1.9, 2.1)}, hybrid, {}).verdict, "held");
}

TEST(FullSpeed, OfWhatNobodyHasSeenIsWhatIsSeenNow) {
  const lab::FullSpeed full(std::vector<Measurement>{});
  EXPECT_EQ(full.fastest({7, 1, kSpin}, 3), kSpin);
}

TEST(Rounds, AreAddedWhileFewPairsAreNarrow) {
  const auto pairs_of = [](const std::vector<Measurement>& all) {
    return lab::pair_up(lab::ratio("a", "b"), all, lab::FullSpeed(all));
  };
  EXPECT_FALSE(lab::more_rounds(pairs_of(rounds(2, 1))));
  const auto disturbed = rounds(2, 1, [](Measurement& m) {
    if (m.round == 3) m.kept = 0.5;
  });
  EXPECT_TRUE(lab::more_rounds(pairs_of(disturbed)));
  EXPECT_EQ(lab::used_pairs(pairs_of(disturbed), 0.95), 14u);
  const auto all_disturbed = rounds(2, 1, [](Measurement& m) { m.kept = 0.5; });
  EXPECT_EQ(lab::used_pairs(pairs_of(all_disturbed), 0.95), 9u);
}

}  // namespace
