#include "common/machine/cores.hpp"

#include <gtest/gtest.h>
#include <hwloc.h>
#include <unistd.h>

#include <array>
#include <set>
#include <stdexcept>
#include <thread>

#include "common/machine/placement.hpp"

namespace {

using namespace lab;

// hwloc's XML of six fast cores of two threads and eight slow cores of one: the shape of a hybrid laptop.
std::string hybrid() {
  hwloc_topology_t topology = nullptr;
  hwloc_topology_init(&topology);
  hwloc_topology_set_synthetic(topology, "package:1 core:14 pu:2");
  hwloc_topology_load(topology);
  hwloc_bitmap_t slow = hwloc_bitmap_alloc(), fast = hwloc_bitmap_alloc();
  // The slow ones come first, and lose their second thread.
  for (unsigned core = 0; core < 8; ++core) hwloc_bitmap_set(slow, 2 * core);
  hwloc_bitmap_set_range(fast, 16, 27);
  hwloc_bitmap_t both = hwloc_bitmap_dup(slow);
  hwloc_bitmap_or(both, both, fast);
  hwloc_topology_restrict(topology, both, 0);
  hwloc_cpukinds_register(topology, slow, 1, 0, nullptr, 0);
  hwloc_cpukinds_register(topology, fast, 7, 0, nullptr, 0);
  char* text = nullptr;
  int length = 0;
  hwloc_topology_export_xmlbuffer(topology, &text, &length, 0);
  const std::string xml = text;
  hwloc_free_xmlbuffer(topology, text);
  for (hwloc_bitmap_t bitmap : {slow, fast, both}) hwloc_bitmap_free(bitmap);
  hwloc_topology_destroy(topology);
  return xml;
}

TEST(ThisMachine, AgreesWithTheKernel) {
  const Machine m = this_machine();
  EXPECT_TRUE(m.real);
  std::set<int> cpus;
  for (const Core& core : m.cores) cpus.insert(core.cpus.begin(), core.cpus.end());
  const auto mask = bound_to();
  EXPECT_EQ(cpus, std::set<int>(mask.begin(), mask.end()));
  EXPECT_EQ(m.configured, sysconf(_SC_NPROCESSORS_CONF));
  EXPECT_GE(m.hardware_threads, m.physical_cores);
  EXPECT_GE(m.physical_cores, m.allowed_cores());
  EXPECT_GE(m.workers(), 1);
  EXPECT_LE(m.workers(), m.allowed_cores());
}

TEST(ThisMachine, SeesAnAffinityMask) {
  const Machine whole = this_machine();
  std::thread([&] {
    const int only = whole.cores.back().cpus.back();
    bind_to(std::array{only});
    const Machine m = this_machine();
    EXPECT_EQ(m.allowed_threads(), 1);
    EXPECT_EQ(m.cores[0].cpus, std::vector{only});
    EXPECT_EQ(m.workers(), 1);
    EXPECT_EQ(m.physical_cores, whole.physical_cores) << "the machine is no smaller for it";
  }).join();
}

TEST(SyntheticMachine, TwoPackages) {
  const Machine m = synthetic_machine("package:2 core:4 pu:2");
  EXPECT_FALSE(m.real);
  EXPECT_EQ(m.packages, 2);
  EXPECT_EQ(m.physical_cores, 8);
  EXPECT_EQ(m.hardware_threads, 16);
  EXPECT_EQ(m.online, 16);
  EXPECT_EQ(m.allowed_cores(), 8);
  EXPECT_EQ(m.allowed_threads(), 16);
  EXPECT_EQ(m.kinds(), 1);
  EXPECT_EQ(m.workers(), 8);
  EXPECT_EQ(m.cores[0].cpus, (std::vector{0, 1}));
  EXPECT_EQ(m.cores[3].package, 0);
  EXPECT_EQ(m.cores[4].package, 1);
  EXPECT_EQ(m.drawing, "2 packages, 8 cores, 16 hardware threads");
}

TEST(SyntheticMachine, NumaNodes) {
  const Machine m = synthetic_machine("package:1 numa:2 core:2 pu:1");
  EXPECT_EQ(m.numa_nodes, 2);
  EXPECT_EQ(m.cores[1].numa, 0);
  EXPECT_EQ(m.cores[2].numa, 1);
  EXPECT_EQ(m.drawing, "1 package, 2 NUMA nodes, 4 cores, 4 hardware threads");
}

TEST(SyntheticMachine, SmallAndLarge) {
  const Machine one = synthetic_machine("core:1 pu:1");
  EXPECT_EQ(one.workers(), 1);
  EXPECT_EQ(one.drawing, "1 package, 1 core, 1 hardware thread");
  const Machine large = synthetic_machine("package:4 core:64 pu:1");
  EXPECT_EQ(large.workers(), 256);
  EXPECT_EQ(large.cores.back().cpus, std::vector{255});
}

TEST(SyntheticMachine, SiblingsNumberedOutOfOrder) {
  const Machine m = synthetic_machine("core:4 pu:2(indexes=0,4,1,5,2,6,3,7)");
  EXPECT_EQ(m.physical_cores, 4);
  EXPECT_EQ(m.cores[1].cpus, (std::vector{1, 5}));
}

TEST(SyntheticMachine, WithoutCoresEveryThreadIsOne) {
  const Machine m = synthetic_machine("pu:6");
  EXPECT_EQ(m.physical_cores, 6);
  EXPECT_EQ(m.workers(), 6);
}

TEST(SyntheticMachine, AMaskMayCutACore) {
  const Machine m = synthetic_machine("core:4 pu:2", "1-3,6");
  EXPECT_EQ(m.allowed_cores(), 3);
  EXPECT_EQ(m.allowed_threads(), 4);
  EXPECT_EQ(m.cores[0].cpus, std::vector{1});
  EXPECT_EQ(m.cores[1].cpus, (std::vector{2, 3}));
  EXPECT_EQ(m.workers(), 3);
  EXPECT_EQ(m.physical_cores, 4);
}

TEST(SyntheticMachine, FastCoresComeFirst) {
  const Machine m = synthetic_machine(hybrid());
  ASSERT_EQ(m.allowed_cores(), 14);
  EXPECT_EQ(m.allowed_threads(), 20);
  EXPECT_EQ(m.kinds(), 2);
  EXPECT_EQ(m.cores[0].kind, 0);
  EXPECT_EQ(m.cores[0].cpus, (std::vector{16, 17}));
  EXPECT_EQ(m.cores[5].kind, 0);
  EXPECT_EQ(m.cores[6].kind, 1);
  EXPECT_EQ(m.cores[6].cpus, std::vector{0});
  EXPECT_EQ(m.drawing, "1 package, 14 cores of 2 kinds, 20 hardware threads");
  const Machine slow = synthetic_machine(hybrid(), "0-15");
  EXPECT_EQ(slow.kinds(), 1);
  EXPECT_EQ(slow.cores[0].kind, 0);
  EXPECT_EQ(slow.allowed_cores(), 8);
}

TEST(SyntheticMachine, WhatHwlocRefusesIsAnError) {
  EXPECT_THROW(synthetic_machine("core:many"), std::invalid_argument);
  EXPECT_THROW(synthetic_machine("<topology"), std::invalid_argument);
  EXPECT_THROW(synthetic_machine("core:2 pu:1", "7"), std::invalid_argument);
  EXPECT_THROW(synthetic_machine("core:2 pu:1", "some"), std::invalid_argument);
}

TEST(Workers, QuotaRoundsUpAndNeverGivesZero) {
  const auto workers = [](double quota) { return synthetic_machine("core:4 pu:2", "", quota).workers(); };
  EXPECT_EQ(workers(0.01), 1);
  EXPECT_EQ(workers(1), 1);
  EXPECT_EQ(workers(1.5), 2);
  EXPECT_EQ(workers(3), 3);
  EXPECT_EQ(workers(1e9), 4);
}

TEST(MachineId, IsASlugOfModelCoresAndShape) {
  Machine m = synthetic_machine("package:2 core:4 pu:2");
  EXPECT_EQ(machine_id(m), machine_id(synthetic_machine("package:2 core:4 pu:2")));
  EXPECT_TRUE(machine_id(m).starts_with("synthetic-8c-"));
  EXPECT_NE(machine_id(m), machine_id(synthetic_machine("package:1 core:8 pu:2")));
  EXPECT_NE(machine_id(m), machine_id(synthetic_machine("package:2 core:4 pu:2", "0-7")));
  m.cpu = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz";
  EXPECT_TRUE(machine_id(m).starts_with("intel-xeon-platinum-8481c-8c-")) << machine_id(m);
  m.cpu = "../../Ünsafe / name with no end, longer than any folder ought to be";
  EXPECT_EQ(machine_id(m).find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string::npos)
      << machine_id(m);
}

TEST(MachineId, NamesNoHost) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const std::string id = machine_id(this_machine());
  EXPECT_EQ(id, machine_id(this_machine()));
  if (std::string(host.data()).size() > 3) {
    EXPECT_EQ(id.find(host.data()), std::string::npos);
  }
}

}  // namespace
