#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/os/children.hpp"
#include "common/os/team.hpp"
#include "common/os/test_faults.hpp"
#include "common/os/test_timeouts.hpp"

namespace lab::pipe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Positions = std::vector<std::size_t>;

TEST(WaitMany, AsLongAsItTakesIsNoTimeoutInAnyUnit) {
  auto [receiver, sender] = one_way();
  const auto send = [&to = sender] { to.send(1); };
  const auto take = [&from = receiver] { EXPECT_EQ(from.recv<int>(), 1); };
  expect_no_timeout(
      [&, &from = receiver](Timeout timeout) {
        EXPECT_EQ(wait_many({from}, timeout).size(), 1u);
        take();
      },
      send);
  expect_no_timeout(
      [&, &from = receiver](Timeout timeout) {
        EXPECT_TRUE(from.poll(timeout));
        take();
      },
      send);
  for (const Timeout& nothing : kNoTime) {
    EXPECT_EQ(wait_many({receiver}, nothing), Positions{});
    EXPECT_FALSE(receiver.poll(nothing));
  }
}

TEST(WaitMany, ReturnsAllThatAreReady) {
  auto [r1, s1] = one_way();
  auto [r2, s2] = one_way();
  auto [a, b] = duplex();
  s1.send_bytes("x");
  b.send_bytes("y");
  EXPECT_EQ(wait_many({r1, r2, a}, seconds(30)), (Positions{0, 2}));
  EXPECT_EQ(wait_many({a, r2, r1}, seconds(30)), (Positions{0, 2})) << "in the order of the list";
  r1.recv_bytes();
  EXPECT_EQ(wait_many({r1, r2, a}, seconds(30)), (Positions{2}));
  s2.close();
  EXPECT_EQ(wait_many({r1, r2, a}, seconds(30)), (Positions{1, 2})) << "end-of-file is ready";
}

TEST(WaitMany, NothingReadyIsEmptyAfterTheTimeoutAndNotBefore) {
  auto [receiver, sender] = one_way();
  EXPECT_EQ(wait_many({receiver}, milliseconds(0)), Positions{});
  EXPECT_EQ(wait_many({receiver}, milliseconds(-1)), Positions{});
  const auto begin = Clock::now();
  EXPECT_EQ(wait_many({receiver}, milliseconds(30)), Positions{});
  EXPECT_EQ(wait_many({}, milliseconds(30)), Positions{});
  EXPECT_GE(Clock::now() - begin, milliseconds(60));
}

TEST(WaitMany, SignalsNeitherEndTheWaitNorProlongIt) {
  const SignalRain rain;
  auto [receiver, sender] = one_way();
  const auto begin = Clock::now();
  EXPECT_EQ(wait_many({receiver}, milliseconds(50)), Positions{});
  EXPECT_GE(Clock::now() - begin, milliseconds(50));
  EXPECT_LT(Clock::now() - begin, seconds(30));
}

TEST(WaitMany, WakesWhenOneBecomesReady) {
  auto [r1, s1] = one_way();
  auto [r2, s2] = one_way();
  std::jthread later([&end = s2] {
    std::this_thread::sleep_for(milliseconds(20));
    end.send_bytes("x");
  });
  EXPECT_EQ(wait_many({r1, r2}, seconds(30)), (Positions{1}));
}

TEST(WaitMany, TakesSocketsAndSentinels) {
  auto [here, there] = make_socket_pair(SOCK_STREAM);
  auto [receiver, sender] = one_way();
  const pid_t pid = fork_child();
  if (pid == 0) {
    leave([] { std::this_thread::sleep_for(seconds(60)); });
  }
  const Descriptor sentinel = open_pidfd(pid);
  EXPECT_EQ(wait_many({here, receiver, sentinel}, milliseconds(5)), Positions{}) << "it lives";
  ::kill(pid, SIGKILL);
  EXPECT_EQ(wait_many({here, receiver, sentinel}, seconds(30)), (Positions{2}));
  write_all(there.get(), std::as_bytes(std::span("x", 1)));
  EXPECT_EQ(wait_many({here, receiver, sentinel}, seconds(30)), (Positions{0, 2}));
  ::waitpid(pid, nullptr, 0);
  EXPECT_EQ(wait_many({sentinel}, seconds(0)), (Positions{0})) << "and once it is reaped";
}

TEST(WaitMany, ClosedOnesAreErrors) {
  auto [receiver, sender] = one_way();
  const int fd = receiver.fileno();
  receiver.close();
  EXPECT_THROW(wait_many({receiver, sender}, seconds(1)), NotOpen);
  EXPECT_THROW(wait_many({Descriptor()}, seconds(1)), NotOpen);
  EXPECT_THROW(wait_many({fd}, seconds(1)), std::system_error);
  EXPECT_THROW(open_pidfd(-1), std::system_error);
}

}  // namespace
}  // namespace lab::pipe
