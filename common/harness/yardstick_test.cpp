// The evidence the judge goes by: paces belong to the CPUs they were taken on, and our own processes are not foreign.
#include "common/harness/yardstick.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <set>

#include "common/harness/measure.hpp"
#include "common/kernels/busy_wait.hpp"
#include "common/machine/placement.hpp"
#include "common/os/children.hpp"

namespace {

TEST(VisitCores, TakesAPaceOnEachCoreAndGivesAllCpusBack) {
  const lab::Yardstick yardstick;
  std::set<int> visited;
  for (const lab::Pace& pace : lab::visit_cores(yardstick)) {
    EXPECT_TRUE(visited.insert(pace.cpu).second) << "CPU " << pace.cpu << " twice";
    EXPECT_EQ(pace.kind, lab::kind_of(pace.cpu));
    EXPECT_GT(pace.spin, 0);
  }
  const auto& cores = lab::machine().cores;
  EXPECT_EQ(visited.size(), std::min<std::size_t>(cores.size(), 16));
  const auto allowed = lab::allowed_cpus(), bound = lab::bound_to();
  EXPECT_EQ(std::set<int>(bound.begin(), bound.end()), std::set<int>(allowed.begin(), allowed.end()));
}

// Uses CPU time, says so, and stays alive until its parent is gone.
[[noreturn]] void use_cpu(double seconds, int say) {
  while (lab::seconds_of(CLOCK_PROCESS_CPUTIME_ID) < seconds) lab::busy_wait(10'000);
  [[maybe_unused]] const auto ignored = ::write(say, "x", 1);
  for (;;) ::pause();
}

TEST(OwnCpu, IncludesGrandchildrenThatAreAlive) {
  const double before = lab::own_cpu_seconds();
  auto [reader, writer] = lab::make_pipe();
  const pid_t pid = lab::fork_child();
  if (pid == 0) {
    lab::leave([&, &out = writer] {
      if (lab::fork_child() == 0) use_cpu(0.1, out.get());
      for (;;) ::pause();
    });
  }
  const lab::ChildProcess child(pid);  // its own child dies with it
  ASSERT_TRUE(lab::wait_for(reader.get(), POLLIN, lab::Clock::now() + std::chrono::seconds(20)));
  EXPECT_GE(lab::own_cpu_seconds() - before, 0.1);
}

// A worker that begins at `begin` and waits for its CPU while it works, of all its time.
lab::Report report(std::int64_t begin, std::int64_t waited) {
  return {.begin = begin, .end = 1000, .cpu = 1000 - begin - waited, .waited = waited};
}

TEST(Kept, IsOfTheWorstWhereEachWorksForItself) {
  EXPECT_DOUBLE_EQ(*lab::kept_by({report(0, 0), report(0, 100)}, true), 0.9);
  EXPECT_DOUBLE_EQ(*lab::kept_by({report(0, 100), report(0, 100)}, false), 0.8);
}

TEST(Kept, CountsWhatALateWorkerLostBeforeItBegan) {
  EXPECT_DOUBLE_EQ(*lab::kept_by({report(0, 0), report(400, 0)}, true), 0.6);
  EXPECT_DOUBLE_EQ(*lab::kept_by({report(0, 0), report(400, 0)}, false), 1);  // the others' wake-ups are the subject
}

TEST(Kept, IsGuessedFromCpuTimeWhereTheKernelDoesNotTell) {
  lab::Report silent = report(0, 100);
  silent.waited = -1;
  EXPECT_DOUBLE_EQ(*lab::kept_by({silent}, true), 0.9);
  EXPECT_FALSE(lab::kept_by({silent}, false));
}

}  // namespace
