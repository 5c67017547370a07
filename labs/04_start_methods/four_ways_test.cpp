// The lesson's four ways do what they say.
#include "four_ways.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <string>

namespace lab::four_ways {
namespace {

pid_t parent_seen = 0;
int seven() { return 7; }
int crash() { return ::raise(SIGKILL); }
int look() {
  parent_seen = ::getppid();
  return 0;
}
[[maybe_unused]] const bool named =
    name_entry("seven", seven) && name_entry("crash", crash) && name_entry("look", look);

TEST(FourWays, EachRunsTheEntryAndHasItsStatus) {
  EXPECT_EQ(by_thread(seven), 7);
  EXPECT_EQ(by_fork(seven), 7);
  EXPECT_EQ(by_spawn("seven"), 7);
  const ForkServer server;
  EXPECT_EQ(server.run("seven"), 7);
  EXPECT_EQ(server.run("nothing"), 0);
}

TEST(FourWays, ACrashIsMinusTheSignal) {
  EXPECT_EQ(by_fork(crash), -SIGKILL);
  EXPECT_EQ(by_spawn("crash"), -SIGKILL);
  const ForkServer server;
  EXPECT_EQ(server.run("crash"), -SIGKILL);
  EXPECT_EQ(server.run("seven"), 7);  // the server has not been in it
}

TEST(FourWays, OnlyAThreadChangesItsParentsMemory) {
  by_fork(look);
  by_spawn("look");
  EXPECT_EQ(parent_seen, 0);
  by_thread(look);
  EXPECT_EQ(parent_seen, ::getppid());
}

TEST(FourWays, ANameThatNobodyHasIsAnErrorHere) {
  EXPECT_THROW(by_spawn("nobody"), std::invalid_argument);
  const ForkServer server;
  EXPECT_THROW(server.run("nobody"), std::invalid_argument);
}

TEST(FourWays, WhatIsNoRequestEndsTheServerAndIsAnErrorHere) {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const pid_t server = start_program("/proc/self/exe", {kServer, ""}, theirs.get());
  theirs.reset();
  ASSERT_EQ(::send(ours.get(), "seven", 5, 0), 5);
  EXPECT_EQ(exit_code(server), 0);
}

TEST(FourWays, TheFloorsRun) {
  for (const auto& floor :
       {bare_thread, bare_fork, bare_vfork, bare_spawn_lab, bare_spawn, bare_spawn_empty, bare_fork_and_round_trips})
    EXPECT_EQ(floor(), 0);
}

}  // namespace
}  // namespace lab::four_ways

int main(int argc, char** argv) {
  if (argc == 2 && argv[1] == std::string(lab::four_ways::kReturnAtOnce)) return 0;
  lab::four_ways::become_worker(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
