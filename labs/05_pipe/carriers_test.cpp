#include "carriers.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "common/os/test_child.hpp"
#include "common/os/test_faults.hpp"

namespace lab::pipe {
namespace {

// Message queues are not permitted everywhere, and the lab does without them then.
void need_message_queues() {
  try {
    MessageQueues();
  } catch (const std::system_error& error) {
    GTEST_SKIP() << error.what();
  }
}

template <class Carrier>
class EveryCarrier : public testing::Test {
  void SetUp() override {
    if constexpr (std::is_same_v<Carrier, MessageQueues>) need_message_queues();
  }
};
using All = testing::Types<OneWayPipes, DuplexPipe, ReadAndWrite, Seqpacket, MessageQueues, SleepingRings,
                           SpinningRings, BareRings>;
TYPED_TEST_SUITE(EveryCarrier, All);

TYPED_TEST(EveryCarrier, BringsEachMessageToTheOtherSideAndBack) {
  TypeParam carrier;
  std::vector<std::size_t> lengths;  // 80 KiB in all: more than once around a ring
  for (int again = 0; again < 10; ++again) {
    for (std::size_t length = 1; length <= 4096; length *= 2) lengths.push_back(length);
  }
  const pid_t echo = start_child([&] {
    std::array<std::byte, 4096> buffer;
    for (const std::size_t length : lengths) {
      const std::size_t got = carrier.receive(1, std::span(buffer).first(length));
      carrier.send(1, {reinterpret_cast<const char*>(buffer.data()), got});
    }
  });
  for (const std::size_t length : lengths) {
    const std::string sent(length, static_cast<char>('a' + length % 23));
    std::string back(length, ' ');
    carrier.send(0, sent);
    EXPECT_EQ(carrier.receive(0, std::as_writable_bytes(std::span(back))), length);
    EXPECT_EQ(back, sent);
  }
  EXPECT_EQ(end_of(echo), "status 0");
}

TEST(Carriers, FailWhereTheKernelRefuses) {
  const auto refused = [](long call, int error, const std::function<void()>& make) {
    return end_of(start_child([=] {
      refuse({call}, error);
      try {
        make();
      } catch (const std::system_error&) {  // not looked at: to check it, a sanitizer would make a pipe
        ::_exit(42);
      }
    }));
  };
  EXPECT_EQ(refused(SYS_pipe2, EMFILE, [] { OneWayPipes(); }), "status 42");
  EXPECT_EQ(refused(SYS_socketpair, EMFILE, [] { DuplexPipe(); }), "status 42");
  EXPECT_EQ(refused(SYS_mq_open, ENOSYS, [] { MessageQueues(); }), "status 42");
}

// Whoever is stopped between making a queue and removing its name leaves the name; killing many finds the gap.
TEST(MessageQueues, LeaveNoNameBehindWhenStopped) {
  need_message_queues();
  if (testing::Test::IsSkipped()) return;
  for (int i = 0; i < 50; ++i) {
    auto [started, start] = one_way();
    const pid_t maker = start_child([&, &begin = start] {
      begin.send_bytes("");
      while (true) MessageQueues();
    });
    started.recv_bytes();
    std::this_thread::sleep_for(std::chrono::microseconds(20 * i));
    ::kill(maker, SIGTERM);
    EXPECT_EQ(end_of(maker), "signal 15 (Terminated)");
    EXPECT_EQ(::mq_unlink(fmt::format("/lab-05-{}", maker).c_str()), -1) << "a queue was left behind";
  }
}

}  // namespace
}  // namespace lab::pipe
