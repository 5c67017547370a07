#include "common/multiprocessing/queue/feeder.hpp"

#include <gtest/gtest.h>

#include <csignal>

#include "common/os/test_child.hpp"
#include "common/os/test_timeouts.hpp"

namespace lab::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Feeder, TakesMoreThanTheQueueHoldsAndKeepsTheOrder) {
  PacketQueue queue(2);
  Feeder feeder(queue);
  for (int i = 0; i < 1000; ++i) feeder.put(i);  // at once: nobody gets any yet
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(queue.get<int>(seconds(30)), i);
  feeder.finish();
}

TEST(Feeder, SaysWhyItWaitsAndThenGivesUp) {
  PacketQueue queue(2);
  testing::internal::CaptureStderr();
  {
    Feeder feeder(queue);
    for (int i = 0; i < 5; ++i) feeder.put(i);
    EXPECT_THROW(feeder.finish(milliseconds(1500)), Full);
    feeder.finish();  // there is nothing left to wait for
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("3 items have no room"), std::string::npos) << said;
  EXPECT_EQ(queue.get<int>(seconds(0)), 0);
  EXPECT_EQ(queue.get<int>(seconds(0)), 1);
  EXPECT_THROW(queue.get<int>(seconds(0)), Empty);
}

TEST(Feeder, FinishesInAsLongAsItTakesOrInNoTime) {
  PacketQueue queue(1);
  expect_no_timeout(
      [&](Timeout patience) {
        Feeder feeder(queue);
        for (const int item : {1, 2}) feeder.put(item);
        feeder.finish(patience);
      },
      [&] {
        for (const int item : {1, 2}) EXPECT_EQ(queue.get<int>(seconds(30)), item);
      },
      milliseconds(250));  // it looks at the clock every 100 ms
  for (const Timeout& nothing : kNoTime) {
    PacketQueue full(1);
    Feeder feeder(full);
    for (const int item : {1, 2}) feeder.put(item);
    EXPECT_THROW(feeder.finish(nothing), Full);
  }
}

TEST(Feeder, ItsKilledProcessCostsWhatItHadNotPut) {
  for (int kill = 0; kill < 50; ++kill) {
    PacketQueue queue(4);
    const pid_t victim = start_child([&] {
      Feeder feeder(queue);
      for (int i = 0; i < 1000; ++i) feeder.put(i);
      feeder.finish();
    });
    int expected = 0;
    for (; expected < 1 + kill * 3; ++expected) ASSERT_EQ(queue.get<int>(seconds(30)), expected);
    ::kill(victim, SIGKILL);
    EXPECT_EQ(end_of(victim), "signal 9 (Killed)");
    const pid_t other = start_child([&] { queue.put(-1, seconds(10)); });
    for (int item; (item = queue.get<int>(seconds(10))) >= 0;) ASSERT_EQ(item, expected++);
    EXPECT_EQ(end_of(other), "status 0");
  }
}

TEST(Feeder, AnItemThatTheQueueRefusesIsAnError) {
  PacketQueue queue(4);
  Feeder feeder(queue);
  feeder.put(std::string(100 << 10, 'x'));
  EXPECT_THROW(feeder.finish(), MessageError);
}

}  // namespace
}  // namespace lab::queue
