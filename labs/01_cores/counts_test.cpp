#include "counts.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <thread>

namespace lab::cores {
namespace {

std::map<std::string, std::string> answers(const Machine& machine) {
  const auto list = counts(machine);
  return {list.begin(), list.end()};
}

TEST(Counts, HardwareThreadsAreNotCores) {
  auto answer = answers(synthetic_machine("package:2 core:4 pu:2"));
  EXPECT_EQ(answer["CPUs running now (os.cpu_count)"], "16");
  EXPECT_EQ(answer["hardware threads of the machine"], "16");
  EXPECT_EQ(answer["physical cores of the machine"], "8");
  EXPECT_EQ(answer["CPUs this process may use (os.process_cpu_count)"], "16");
  EXPECT_EQ(answer["CPUs' worth of time the quota grants"], "no limit");
  EXPECT_EQ(answer["workers to use for CPU-bound work"], "8");
}

TEST(Counts, AMaskTakesCpusFromTheProcessNotFromTheMachine) {
  auto answer = answers(synthetic_machine("core:4 pu:2", "1-3,6"));
  EXPECT_EQ(answer["physical cores of the machine"], "4");
  EXPECT_EQ(answer["CPUs this process may use (os.process_cpu_count)"], "4");
  EXPECT_EQ(answer["physical cores it may use"], "3") << "CPUs 2 and 3 are one core";
  EXPECT_EQ(answer["workers to use for CPU-bound work"], "3");
}

TEST(Counts, AQuotaTakesTimeNotCpus) {
  auto answer = answers(synthetic_machine("core:8 pu:1", "", 1.5));
  EXPECT_EQ(answer["CPUs this process may use (os.process_cpu_count)"], "8")
      << "what a pool of the default size starts";
  EXPECT_EQ(answer["CPUs' worth of time the quota grants"], "1.50");
  EXPECT_EQ(answer["workers to use for CPU-bound work"], "2") << "what there is time for";
}

TEST(Counts, TheKernelMayKnowMoreCpusThanRun) {
  Machine machine = synthetic_machine("core:4 pu:1");
  machine.configured = 64;
  auto answer = answers(machine);
  EXPECT_EQ(answer["CPUs the kernel could have"], "64");
  EXPECT_EQ(answer["CPUs running now (os.cpu_count)"], "4");
}

TEST(Counts, TheTableHasALineAnAnswer) {
  const Machine machine = synthetic_machine("core:4 pu:2");
  const std::string table = counts_table(machine);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n') + 1, static_cast<long>(counts(machine).size()));
  EXPECT_NE(table.find("physical cores it may use: 4\n"), std::string::npos) << table;
}

TEST(Counts, DifferWhereOneQuestionHasAnotherAnswer) {
  // One of the answers is that of the host this test runs on: a machine of its size agrees with it.
  const std::string host = std::to_string(std::thread::hardware_concurrency());
  EXPECT_FALSE(counts_differ(synthetic_machine("core:" + host + " pu:1")));
  EXPECT_TRUE(counts_differ(synthetic_machine("core:" + host + " pu:2")));
  EXPECT_TRUE(counts_differ(synthetic_machine("core:" + host + " pu:1", "", 0.5)));
  Machine machine = synthetic_machine("core:" + host + " pu:1");
  ++machine.configured;
  EXPECT_TRUE(counts_differ(machine));
}

TEST(Drawing, NamesTheAllowedCpusOfEachCore) {
  EXPECT_EQ(drawing(synthetic_machine("core:2 pu:2(indexes=0,2,1,3)")),
            "package 0: core 0: cpu 0 cpu 2; core 1: cpu 1 cpu 3");
  EXPECT_EQ(drawing(synthetic_machine("package:2 core:2 pu:1", "1-3")),
            "package 0: core 0: cpu 1\npackage 1: core 0: cpu 2; core 1: cpu 3");
}

TEST(DivisibleJobs, IsTheNextMultipleOfTheWorkers) {
  for (int workers = 1; workers <= 130; ++workers) {
    for (const int least : {8, 128}) {
      const int jobs = divisible_jobs(least, workers);
      EXPECT_EQ(jobs % workers, 0) << least << " jobs, " << workers << " workers";
      EXPECT_GE(jobs, least);
      EXPECT_LT(jobs - workers, least) << "a smaller multiple would do";
    }
  }
  EXPECT_EQ(divisible_jobs(8, 2), 8);
  EXPECT_EQ(divisible_jobs(8, 6), 12);
  EXPECT_EQ(divisible_jobs(8, 16), 16);
}

}  // namespace
}  // namespace lab::cores
