// What the table says, since it follows from how each method works and from nothing about the machine.
#include "inheritance.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "common/machine/placement.hpp"
#include "common/multiprocessing/process/test_main.hpp"

namespace lab::start {
namespace {

TEST(Inheritance, AForkedWorkerHasEverything) {
  const Inherited seen = inherited_by(Method::fork);
  EXPECT_TRUE(seen.memory && seen.descriptor && seen.environment && seen.held_lock && seen.signal_mask);
  EXPECT_EQ(seen.affinity, bound_to().size() > 1);
}

TEST(Inheritance, ASpawnedWorkerHasWhatExecKeeps) {
  const Inherited seen = inherited_by(Method::spawn);
  EXPECT_FALSE(seen.memory || seen.descriptor || seen.held_lock);
  EXPECT_TRUE(seen.environment && seen.signal_mask);
  EXPECT_EQ(seen.affinity, bound_to().size() > 1);
}

TEST(Inheritance, TheDescriptorIsLookedForWhereverTheLimitIs) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const bool forked = inherited_by(Method::fork).descriptor, spawned = inherited_by(Method::spawn).descriptor;
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(forked);
  EXPECT_FALSE(spawned);
}

TEST(Inheritance, AServersWorkerHasWhatTheServerHadBefore) {
  const Inherited seen = inherited_by(Method::forkserver);
  EXPECT_FALSE(seen.memory || seen.descriptor || seen.environment || seen.held_lock || seen.signal_mask ||
               seen.affinity);
}

TEST(Inheritance, WithOneCpuTheTableCannotTellOfTheBinding) {
  const std::vector<int> cpus = bound_to();
  bind_to(std::array{cpus.front()});
  const std::string table = inheritance_table();
  bind_to(cpus);
  EXPECT_EQ(table.substr(table.find("bound to one CPU") + 16),
            "                              "
            "  can't tell  can't tell  can't tell  can't tell\n");
  EXPECT_EQ(inheritance_table().find("can't tell") == std::string::npos, cpus.size() > 1);
}

TEST(Inheritance, NothingOfTheChangeStays) {
  const auto cpus = bound_to();
  inherited_by(Method::spawn);
  EXPECT_EQ(bound_to(), cpus);
  EXPECT_EQ(::getenv("LAB_INHERITED"), nullptr);
}

}  // namespace
}  // namespace lab::start
