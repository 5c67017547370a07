#include "common/machine/placement.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <system_error>
#include <thread>

namespace {

using namespace lab;
using Pair = std::pair<int, int>;

TEST(Place, DistinctCoresThenSiblingsThenNothing) {
  const Machine m = synthetic_machine("core:3 pu:2(indexes=0,3,1,4,2,5)");
  EXPECT_EQ(place(m, 1), std::vector{0});
  EXPECT_EQ(place(m, 3), (std::vector{0, 1, 2}));
  EXPECT_EQ(place(m, 4), (std::vector{0, 1, 2, 3}));
  EXPECT_EQ(place(m, 6), (std::vector{0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(place(m, 7).empty());
  EXPECT_TRUE(place(m, 0).empty());
  EXPECT_FALSE(shares_cores(m, 3));
  EXPECT_TRUE(shares_cores(m, 4));
}

TEST(Place, CoresOfUnequalWidth) {
  const Machine m = synthetic_machine("core:3 pu:2", "0,2-3,5");
  EXPECT_EQ(place(m, 3), (std::vector{0, 2, 5}));
  EXPECT_EQ(place(m, 4), (std::vector{0, 2, 5, 3}));
  EXPECT_TRUE(place(m, 5).empty());
}

TEST(Place, FastCoresFirst) {
  Machine m = synthetic_machine("core:3 pu:1");  // sorted as cores.hpp promises
  m.cores = {{.cpus = {4, 5}, .kind = 0}, {.cpus = {0}, .kind = 1}, {.cpus = {1}, .kind = 1}};
  EXPECT_EQ(place(m, 4), (std::vector{4, 0, 1, 5}));
}

TEST(PlacePair, EveryDistance) {
  const Machine m = synthetic_machine("package:2 core:2 pu:2");
  EXPECT_EQ(place_pair(m, Distance::same_cpu), Pair(0, 0));
  EXPECT_EQ(place_pair(m, Distance::sibling), Pair(0, 1));
  EXPECT_EQ(place_pair(m, Distance::other_core), Pair(0, 2));
}

TEST(PlacePair, NoneWhereImpossible) {
  const Machine one = synthetic_machine("core:1 pu:2");
  EXPECT_EQ(place_pair(one, Distance::other_core), std::nullopt);
  EXPECT_EQ(place_pair(one, Distance::sibling), Pair(0, 1));
  EXPECT_EQ(place_pair(synthetic_machine("core:4 pu:1"), Distance::sibling), std::nullopt);
  EXPECT_EQ(place_pair(synthetic_machine("core:2 pu:2", "0,3"), Distance::sibling), std::nullopt);
}

TEST(PlacePair, OtherCoreStaysNear) {
  // The first core's package has no second one that is allowed; the other package has two.
  const Machine m = synthetic_machine("package:2 core:2 pu:1", "0,2-3");
  EXPECT_EQ(place_pair(m, Distance::other_core), Pair(2, 3));
  EXPECT_EQ(place_pair(synthetic_machine("package:2 core:2 pu:1", "0,2"), Distance::other_core), Pair(0, 2));
}

TEST(Distance, HasANameBothWays) {
  for (const Distance d : {Distance::same_cpu, Distance::sibling, Distance::other_core})
    EXPECT_EQ(distance_named(name(d)), d);
  EXPECT_EQ(name(Distance::other_core), "other-core");
  EXPECT_EQ(distance_named("next-door"), std::nullopt);
}

TEST(BindTo, TakesEffectOnTheCallingThreadAlone) {
  const std::vector<int> before = bound_to();
  std::thread([&] {
    bind_to(std::array{before.back(), before.back()});
    EXPECT_EQ(bound_to(), std::vector{before.back()});
    EXPECT_EQ(sched_getcpu(), before.back());
  }).join();
  EXPECT_EQ(bound_to(), before);
}

TEST(BindTo, RefusesWhatThisMachineLacks) {
  std::thread([] {
    const std::vector<int> before = bound_to();
    EXPECT_THROW(bind_to(std::array{8000}), std::system_error);
    EXPECT_THROW(bind_to(std::array{1'000'000}), std::system_error);
    EXPECT_THROW(bind_to(std::array{-1}), std::system_error);
    EXPECT_THROW(bind_to({}), std::system_error);
    EXPECT_EQ(bound_to(), before);
    EXPECT_THROW(bind_to(std::array{before.front(), 8000}), std::system_error)
        << "half of what was asked for is not it";
  }).join();
}

}  // namespace
