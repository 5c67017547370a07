// A child is its parent's alone, and known by more than its number.
#include "common/os/children.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <optional>
#include <thread>

#include "common/os/per_process.hpp"
#include "common/os/test_child.hpp"

namespace lab {
namespace {

void wait_to_be_killed() {
  while (true) ::pause();
}

TEST(ChildProcess, TellsHowItEnded) {
  EXPECT_EQ(ChildProcess(start_child([] { ::_exit(7); })).wait(), 7);
  ChildProcess killed(start_child(wait_to_be_killed));
  EXPECT_EQ(killed.wait(Clock::now()), std::nullopt);
  killed.send_signal(SIGTERM);
  EXPECT_EQ(killed.wait(soon()), -SIGTERM);
  EXPECT_EQ(killed.wait(), -SIGTERM);  // again: at once
  EXPECT_TRUE(wait_for(killed.sentinel(), POLLIN, Clock::now()));
  EXPECT_EQ(describe_exit(*killed.wait()), "signal 15 (Terminated)");
  EXPECT_EQ(ChildProcess().wait(), std::nullopt);
}

TEST(ChildProcess, IsKilledAndReapedWithItsObject) {
  pid_t pid = 0;
  {
    ChildProcess first(start_child(wait_to_be_killed));
    ChildProcess second(std::move(first));
    pid = second.pid();
  }
  EXPECT_TRUE(is_gone(pid));
  EXPECT_TRUE(childless());
}

TEST(ChildProcess, MayBeLetGo) {
  const pid_t pid = start_child(wait_to_be_killed);
  ChildProcess(pid).let_go();
  EXPECT_EQ(::kill(pid, SIGKILL), 0);  // it is there
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST(ChildProcess, ThatSomebodyElseHasReapedHasNoStatusAndItsNumberIsNotSignalled) {
  ChildProcess child(start_child([] {}));
  ASSERT_EQ(::waitpid(child.pid(), nullptr, 0), child.pid());
  child.send_signal(SIGKILL);
  EXPECT_EQ(child.wait(), ChildProcess::kStatusLost);
  EXPECT_NE(describe_exit(*child.wait()).find("SIGCHLD"), std::string::npos);
}

TEST(ChildProcess, ACopyMadeByForkHarmsNobody) {
  std::optional<ChildProcess> child(start_child(wait_to_be_killed));
  EXPECT_EQ(end_of(start_child([&] {
              child->send_signal(SIGKILL);
              if (child->wait()) throw std::runtime_error("it waited for its sibling");
              child.reset();
            })),
            "status 0");
  EXPECT_EQ(child->wait(Clock::now()), std::nullopt);
}

PerProcess<std::array<int, 100>> numbers;

TEST(PerProcess, AForkedChildHasOneOfItsOwnHoweverManyThreadsAreTheFirst) {
  numbers.get()[0] = 1;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(end_of(start_child([] {
                if (numbers.existing() != nullptr) throw std::runtime_error("it took its parent's");
                std::array<int*, 4> seen{};
                std::atomic<std::size_t> there = 0;
                {
                  std::vector<std::jthread> threads;
                  for (int*& mine : seen) {
                    threads.emplace_back([&] {
                      for (++there; there < seen.size();) std::this_thread::yield();
                      mine = numbers.get().data();
                    });
                  }
                }
                if (std::count(seen.begin(), seen.end(), numbers.get().data()) != 4 || numbers.get()[0] != 0)
                  throw std::runtime_error("two were made");
              })),
              "status 0");
  }
  EXPECT_EQ(numbers.get()[0], 1);
}

}  // namespace
}  // namespace lab
