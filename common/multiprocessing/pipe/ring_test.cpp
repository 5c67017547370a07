#include "common/multiprocessing/pipe/ring.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <random>
#include <thread>

#include "common/os/children.hpp"
#include "common/os/team.hpp"
#include "common/os/test_child.hpp"
#include "common/os/test_faults.hpp"
#include "common/os/test_timeouts.hpp"

namespace lab::pipe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kSmall = 64;  // the smallest ring
constexpr auto kSoon = milliseconds(20);

class RingOf : public testing::TestWithParam<Waiting> {};
INSTANTIATE_TEST_SUITE_P(Both, RingOf, testing::Values(Waiting::blocking, Waiting::spinning),
                         [](const auto& which) { return which.param == Waiting::blocking ? "Blocking" : "Spinning"; });

std::string pattern(std::size_t length, unsigned seed) {
  std::string text(length, '\0');
  for (std::size_t i = 0; i < length; ++i) text[i] = static_cast<char>((i * 2654435761u + seed) >> 24);
  return text;
}

TEST_P(RingOf, MessagesComeInOrderAndWholeAcrossTheWrap) {
  const Ring ring(kSmall, GetParam());
  RingSender sender(ring);
  RingReceiver receiver(ring);
  for (unsigned i = 0; i < 1000; ++i) {  // lengths 0 to 60 fit; 60 fills the ring to the last byte
    sender.send(pattern(i % 61, i));
    ASSERT_EQ(receiver.recv(), pattern(i % 61, i));
  }
}

TEST_P(RingOf, FullAndEmptyAreToldApart) {
  const Ring ring(kSmall, GetParam());
  RingSender sender(ring);
  RingReceiver receiver(ring);
  EXPECT_THROW(receiver.recv(kSoon), TimedOut) << "empty";
  for (int i = 0; i < 4; ++i) sender.send(pattern(12, 7), kSoon);  // 4 x (4 + 12) bytes
  EXPECT_THROW(sender.send("", kSoon), TimedOut) << "full";
  for (int i = 0; i < 4; ++i) EXPECT_EQ(receiver.recv(kSoon), pattern(12, 7));
  EXPECT_THROW(receiver.recv(kSoon), TimedOut) << "empty again, and what was not sent is not there";
  sender.send("on", kSoon);
  EXPECT_EQ(receiver.recv(kSoon), "on");
}

TEST_P(RingOf, AsLongAsItTakesIsNoTimeoutInAnyUnit) {
  const Ring ring(kSmall, GetParam());
  RingSender sender(ring);
  RingReceiver receiver(ring);
  const std::string fills_it = pattern(kSmall - 4, 1);
  expect_no_timeout([&](Timeout timeout) { EXPECT_EQ(receiver.recv(timeout), fills_it); },
                    [&] { sender.send(fills_it); });
  for (const Timeout& nothing : kNoTime) EXPECT_THROW(receiver.recv(nothing), TimedOut);
  sender.send(fills_it);
  expect_no_timeout([&](Timeout timeout) { sender.send(fills_it, timeout); },
                    [&] { EXPECT_EQ(receiver.recv(), fills_it); });
  for (const Timeout& nothing : kNoTime) EXPECT_THROW(sender.send(fills_it, nothing), TimedOut);
}

TEST_P(RingOf, LongerMessagesThanTheRingPassInPieces) {
  const Ring ring(1 << 16, GetParam());
  const std::string message = pattern(16 << 20, 5);
  std::jthread other([&] { RingSender(ring).send(message); });
  EXPECT_TRUE(RingReceiver(ring).recv() == message);
}

TEST_P(RingOf, AnyLengthsBetweenThreads) {
  const Ring ring(256, GetParam());
  constexpr unsigned kMessages = 3000;
  const auto length = [](unsigned i) { return (i * 7919u) % 700; };
  std::jthread other([&] {
    RingSender sender(ring);
    for (unsigned i = 0; i < kMessages; ++i) sender.send(pattern(length(i), i));
  });
  RingReceiver receiver(ring);
  std::string wrong;
  for (unsigned i = 0; i < kMessages; ++i) {
    if (receiver.recv() != pattern(length(i), i)) wrong += std::to_string(i) + " ";
  }
  EXPECT_EQ(wrong, "");
}

TEST_P(RingOf, BetweenProcesses) {
  const Ring there(1 << 12, GetParam()), back(1 << 12, GetParam());
  const auto reports = run_team({.size = 2}, [&](int worker) {
    RingSender sender(worker == 0 ? there : back);
    RingReceiver receiver(worker == 0 ? back : there);
    std::uint64_t right = 0;
    for (unsigned i = 0; i < 100; ++i) {
      if (worker == 0) sender.send(pattern(i * 100, i));
      const std::string message = receiver.recv();
      right += message == pattern(i * 100, i);
      if (worker == 1) sender.send(message);
    }
    return right;
  });
  EXPECT_EQ(reports[0].answer, 100u);
  EXPECT_EQ(reports[1].answer, 100u);
}

TEST_P(RingOf, CloseIsEndOfFileAfterTheLastMessage) {
  const Ring ring(kSmall, GetParam());
  RingSender sender(ring);
  RingReceiver receiver(ring);
  sender.send("last");
  sender.close();
  EXPECT_EQ(receiver.recv(kSoon), "last");
  EXPECT_THROW(receiver.recv(kSoon), EndOfFile);
  EXPECT_THROW(sender.send("x"), NotOpen);
}

TEST_P(RingOf, CloseWakesAWaitingPeer) {
  const Ring ring(kSmall, GetParam());
  RingSender sender(ring);
  std::jthread other([&] {
    std::this_thread::sleep_for(kSoon);
    sender.close();
  });
  EXPECT_THROW(RingReceiver(ring).recv(seconds(60)), EndOfFile);
}

TEST_P(RingOf, AClosedReceiverIsABrokenPipe) {
  const Ring ring(kSmall, GetParam());
  RingSender sender(ring);
  RingReceiver receiver(ring);
  receiver.close();
  try {
    sender.send("x", kSoon);
    ADD_FAILURE() << "nobody will take it";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EPIPE);
  }
  EXPECT_THROW(receiver.recv(), NotOpen);
}

TEST_P(RingOf, TheMaximumIsCheckedBeforeAnythingIsAllocated) {
  const Ring ring(kSmall, GetParam());
  RingSender sender(ring);
  RingReceiver receiver(ring);
  sender.send("four");
  EXPECT_EQ(receiver.recv(kSoon, 4), "four");
  sender.send("fives");
  EXPECT_THROW(receiver.recv(kSoon, 4), MessageError);
  EXPECT_TRUE(receiver.closed());
}

// The longer message than the ring has begun to come and does not go on.
TEST_P(RingOf, AWaitThatFailsInsideAMessageClosesTheEnd) {
  const Ring ring(kSmall, GetParam());
  RingSender sender(ring);
  RingReceiver receiver(ring);
  EXPECT_THROW(sender.send(pattern(500, 1), kSoon), TimedOut);
  EXPECT_TRUE(sender.closed());
  EXPECT_THROW(receiver.recv(kSoon), MessageError) << "end of file during a message";
  EXPECT_TRUE(receiver.closed());
}

TEST_P(RingOf, AKilledPeerIsNoticedByItsSentinelOrByTheDeadline) {
  for (const bool watched : {true, false}) {
    const Ring ring(kSmall, GetParam());
    const pid_t pid = fork_child();
    if (pid == 0) {
      leave([&] {
        RingSender(ring).send("before");
        ::raise(SIGKILL);
      });
    }
    const Descriptor sentinel = open_pidfd(pid);
    RingReceiver receiver(ring, watched ? sentinel.get() : -1);
    EXPECT_EQ(receiver.recv(seconds(30)), "before") << "what it sent before it died counts";
    if (watched) {
      EXPECT_THROW(receiver.recv(seconds(30)), PeerDied);
    } else {
      EXPECT_THROW(receiver.recv(milliseconds(200)), TimedOut);
    }
    RingSender sender(ring, watched ? sentinel.get() : -1);
    sender.send("it still fits", seconds(1));
    const auto fill = [&] {
      for (int i = 0; i < 10; ++i) sender.send(pattern(60, 1), watched ? seconds(30) : milliseconds(200));
    };
    if (watched) {
      EXPECT_THROW(fill(), PeerDied);
    } else {
      EXPECT_THROW(fill(), TimedOut);
    }
    ::waitpid(pid, nullptr, 0);
  }
}

TEST_P(RingOf, ASenderKilledInsideAMessageClosesTheEnd) {
  const Ring ring(kSmall, GetParam());
  const pid_t pid = start_child([&] { RingSender(ring).send(pattern(500, 1)); });  // waits for room in the middle
  const Descriptor sentinel = open_pidfd(pid);
  while (ring.words().sender.position < kSmall && Clock::now() < soon()) std::this_thread::yield();
  ::kill(pid, SIGKILL);
  RingReceiver receiver(ring, sentinel.get());
  EXPECT_THROW(receiver.recv(seconds(30)), PeerDied);
  EXPECT_TRUE(receiver.closed());
  EXPECT_EQ(end_of(pid), "signal 9 (Killed)");
}

TEST_P(RingOf, SignalsDoNotCutMessages) {
  const SignalRain rain;
  const Ring ring(1 << 12, GetParam());
  const std::string message = pattern(1 << 20, 3);
  const pid_t pid = start_child([&] {
    const SignalRain own;
    RingSender sender(ring);
    for (int i = 0; i < 5; ++i) sender.send(message);
  });
  RingReceiver receiver(ring);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(receiver.recv(), message);
  EXPECT_EQ(end_of(pid), "status 0");
}

TEST_P(RingOf, ImpossiblePositionsAreRefused) {
  for (const std::uint64_t hostile : {std::uint64_t{65}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    const Ring ring(kSmall, GetParam());
    RingReceiver receiver(ring);
    ring.words().sender.position = hostile;
    EXPECT_THROW(receiver.recv(kSoon), MessageError) << hostile;
    EXPECT_TRUE(receiver.closed());
  }
  for (const std::uint64_t hostile : {std::uint64_t{1}, std::uint64_t{1} << 63}) {  // more taken than was ever sent
    const Ring ring(kSmall, GetParam());
    RingSender sender(ring);
    ring.words().receiver.position = hostile;
    EXPECT_THROW(sender.send("x", kSoon), MessageError) << hostile;
  }
}

TEST_P(RingOf, APositionThatGoesBackOrLapsTheReaderIsRefused) {
  for (const std::uint64_t next : {8, 72}) {
    const Ring ring(kSmall, GetParam());
    RingReceiver receiver(ring);
    const std::uint32_t length = 40;
    std::memcpy(ring.data(), &length, sizeof length);
    ring.words().sender.position = 12;  // the length and half of what it must have before it takes any
    std::jthread hostile([&] {
      std::this_thread::sleep_for(kSoon);
      ring.words().sender.position = next;
    });
    EXPECT_THROW(receiver.recv(seconds(5)), MessageError) << next;
  }
}

TEST_P(RingOf, AHostileLengthNeitherAllocatesNorReadsBeyond) {
  const Ring ring(kSmall, GetParam());
  RingReceiver receiver(ring);
  const std::uint32_t huge = UINT32_MAX;
  std::memcpy(ring.data(), &huge, sizeof huge);
  ring.words().sender.position = kSmall;
  EXPECT_THROW(receiver.recv(kSoon), MessageError);
}

TEST(Ring, PassesAsAMemfd) {
  const Descriptor file = make_memfd("ring", sizeof(RingWords) + 4096);
  const Ring here(Mapping::of(file)), there(Mapping::of(file));
  EXPECT_EQ(here.capacity(), 4096u);
  RingSender(here).send("through two mappings");
  EXPECT_EQ(RingReceiver(there).recv(kSoon), "through two mappings");
  EXPECT_THROW(Ring(Mapping::anonymous(sizeof(RingWords))), std::invalid_argument);
}

TEST(Ring, TheCapacityIsAPowerOfTwo) {
  EXPECT_EQ(Ring(0).capacity(), 64u);
  EXPECT_EQ(Ring(65).capacity(), 128u);
  EXPECT_EQ(Ring(4096).capacity(), 4096u);
}

}  // namespace
}  // namespace lab::pipe
