#include "common/multiprocessing/queue/queue.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <csignal>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "common/os/test_child.hpp"
#include "common/os/test_faults.hpp"
#include "common/os/test_timeouts.hpp"

namespace lab::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kFewer = 10;  // items and kills: everything takes ten times as long
#else
constexpr int kFewer = 1;
#endif

struct Packets : PacketQueue {
  explicit Packets(std::uint32_t capacity) : PacketQueue(capacity) {}
};
struct Ring : RingQueue {
  explicit Ring(std::uint32_t capacity) : RingQueue(capacity, 64) {}
};

template <class Queue>
class EveryQueue : public testing::Test {};
using All = testing::Types<Packets, Ring>;
TYPED_TEST_SUITE(EveryQueue, All);

TYPED_TEST(EveryQueue, ItemsComeOutInOrderAndMayBeEmpty) {
  TypeParam queue(8);
  for (int round = 0; round < 5; ++round) {  // five times around the ring
    for (const char* item : {"one", "", "three", "four", "five", "six", "seven", "eight"}) queue.put_bytes(item);
    EXPECT_EQ(queue.size(), 8u);
    for (const char* item : {"one", "", "three", "four", "five", "six", "seven", "eight"})
      EXPECT_EQ(queue.get_bytes(), item);
    EXPECT_EQ(queue.size(), 0u);
  }
}

TYPED_TEST(EveryQueue, TheCapacityIsExact) {
  for (const std::uint32_t capacity : {1u, 2u, 100u, 128u}) {
    TypeParam queue(capacity);
    for (std::uint32_t i = 0; i < capacity; ++i) queue.put(i, seconds(0));
    EXPECT_THROW(queue.put(0u, seconds(0)), Full) << capacity;
    EXPECT_EQ(queue.template get<unsigned>(), 0u);
    queue.put(capacity, seconds(0));
    EXPECT_THROW(queue.put(0u, milliseconds(5)), Full) << capacity;
    for (std::uint32_t i = 1; i <= capacity; ++i) EXPECT_EQ(queue.template get<unsigned>(seconds(0)), i);
    EXPECT_THROW(queue.template get<unsigned>(seconds(0)), Empty) << capacity;
  }
}

TYPED_TEST(EveryQueue, TimeoutsAreKept) {
  TypeParam queue(1);
  auto begin = Clock::now();
  EXPECT_THROW(queue.get_bytes(milliseconds(120)), Empty);
  EXPECT_GE(Clock::now() - begin, milliseconds(120));
  EXPECT_THROW(queue.get_bytes(seconds(-1)), Empty);
  queue.put_bytes("x");
  begin = Clock::now();
  EXPECT_THROW(queue.put_bytes("y", milliseconds(120)), Full);
  EXPECT_GE(Clock::now() - begin, milliseconds(120));
  EXPECT_EQ(queue.get_bytes(), "x");
}

TYPED_TEST(EveryQueue, AsLongAsItTakesIsNoTimeoutInAnyUnit) {
  TypeParam queue(1);
  const auto put = [&] { queue.put(1, seconds(30)); };
  const auto get = [&] { EXPECT_EQ(queue.template get<int>(seconds(30)), 1); };
  expect_no_timeout([&](Timeout timeout) { EXPECT_EQ(queue.template get<int>(timeout), 1); }, put);
  put();
  expect_no_timeout([&](Timeout timeout) { queue.put(1, timeout); }, get);
  for (const Timeout& nothing : kNoTime) EXPECT_THROW(queue.put(1, nothing), Full);
  get();
  for (const Timeout& nothing : kNoTime) EXPECT_THROW(queue.get_bytes(nothing), Empty);
}

TEST(RobustMutex, AsLongAsItTakesIsNoTimeoutInAnyUnit) {
  RobustMutex mutex;
  ASSERT_TRUE(mutex.lock_for(seconds(30)));
  std::atomic<int> unlocked = 0;
  expect_no_timeout(
      [&](Timeout timeout) {
        EXPECT_TRUE(mutex.lock_for(timeout));
        mutex.unlock();
        ++unlocked;
      },
      [&, times = 0]() mutable {
        mutex.unlock();
        for (++times; unlocked < times;) std::this_thread::yield();
        EXPECT_TRUE(mutex.lock_for(seconds(30)));
      });
  std::thread([&] {
    for (const Timeout& nothing : kNoTime) EXPECT_FALSE(mutex.lock_for(nothing));
  }).join();
  mutex.unlock();
}

TYPED_TEST(EveryQueue, RefusesWhatItCannotCarry) {
  TypeParam queue(4);
  EXPECT_THROW(queue.put_bytes(std::string(33 << 10, 'x')), MessageError);
  EXPECT_EQ(queue.size(), 0u);
  queue.put(42);
  EXPECT_THROW(queue.template get<std::string>(), MessageError) << "42 is no text";
  queue.put("text");
  EXPECT_EQ(queue.template get<std::string>(), "text") << "the item that could not be read was taken";
  EXPECT_THROW(TypeParam(0), std::invalid_argument);
}

TYPED_TEST(EveryQueue, AWaitingConsumerIsWoken) {
  TypeParam queue(2);
  const pid_t consumer = start_child([&] {
    for (int i = 0; i < 100; ++i) {
      if (queue.template get<int>(seconds(30)) != i) throw std::runtime_error("out of order");
    }
  });
  for (int i = 0; i < 100; ++i) queue.put(i, seconds(30));
  EXPECT_EQ(end_of(consumer), "status 0");
}

// Item i of producer p is p << 32 | i. Consumers check the order of each producer's items as far as they see them, and
// add up what they got.
struct Sum {
  std::atomic<std::uint64_t> items{0}, sum{0};
};

TYPED_TEST(EveryQueue, NothingIsLostOrDoubledBetweenEightProducersAndEightConsumers) {
  constexpr std::uint64_t kProcesses = 8, kItems = 1'000'000 / kFewer / kProcesses;
  TypeParam queue(100);
  const Shared<Sum> got;
  SharedArray<std::atomic<std::uint8_t>> seen(kProcesses * kItems);
  std::vector<pid_t> producers, consumers;
  for (std::uint64_t p = 0; p < kProcesses; ++p) {
    producers.push_back(start_child([&, p] {
      for (std::uint64_t i = 0; i < kItems; ++i) queue.put(p << 32 | i);
    }));
    consumers.push_back(start_child([&] {
      std::map<std::uint64_t, std::int64_t> last;
      for (;;) {
        const auto item = queue.template get<std::uint64_t>();
        if (item == ~0ull) return;
        const std::uint64_t from = item >> 32, number = item & 0xffffffff;
        if (last.contains(from) && static_cast<std::int64_t>(number) <= last[from])
          throw std::runtime_error("a producer's items came out of order");
        last[from] = static_cast<std::int64_t>(number);
        if (seen[from * kItems + number].fetch_add(1) != 0) throw std::runtime_error("an item came twice");
        got->items.fetch_add(1);
      }
    }));
  }
  for (const pid_t pid : producers) EXPECT_EQ(end_of(pid), "status 0");
  for (std::uint64_t i = 0; i < kProcesses; ++i) queue.put(~0ull);
  for (const pid_t pid : consumers) EXPECT_EQ(end_of(pid), "status 0");
  EXPECT_EQ(got->items.load(), kProcesses * kItems);
  EXPECT_EQ(queue.size(), 0u);
}

TYPED_TEST(EveryQueue, SignalsNeitherLoseNorDoubleItems) {
  const SignalRain rain;
  TypeParam queue(3);
  const pid_t producer = start_child([&] {
    const SignalRain own;
    for (int i = 0; i < 5000; ++i) queue.put(i);
  });
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(queue.template get<int>(seconds(30)), i);
  EXPECT_EQ(end_of(producer), "status 0");
}

// A producer or a consumer is killed at some moment, in the middle of whatever it does; then another takes over.
TYPED_TEST(EveryQueue, AKilledConsumerCostsAtMostTheItemInItsHand) {
  int lost = 0;
  for (int kill = 0; kill < 100; kill += kFewer) {
    TypeParam queue(1 + kill % 3);
    const Shared<std::atomic<int>> done(0);
    const pid_t victim = start_child([&] {
      for (;;) {
        const int item = queue.template get<int>(seconds(30));
        done->store(item + 1);  // what is in its hand until here
      }
    });
    const pid_t producer = start_child([&] {
      for (int i = 0; i < 200; ++i) queue.put(i, seconds(30));
    });
    while (done->load() < kill % 50) std::this_thread::yield();
    const auto until = Clock::now() + std::chrono::microseconds(kill * 7 % 40);
    while (Clock::now() < until) {
    }
    ::kill(victim, SIGKILL);
    EXPECT_EQ(end_of(victim), "signal 9 (Killed)");
    int expected = done->load();
    for (bool first = true; expected < 200; first = false) {
      const int item = queue.template get<int>(seconds(10));
      if (first && item == expected + 1) ++lost, ++expected;
      ASSERT_EQ(item, expected++) << "after kill " << kill;
    }
    EXPECT_EQ(end_of(producer), "status 0") << "after kill " << kill;
    EXPECT_EQ(queue.size(), 0u);
  }
  testing::Test::RecordProperty("lost", lost);
}

TYPED_TEST(EveryQueue, AKilledProducerCostsAtMostTheItemInItsHand) {
  for (int kill = 0; kill < 100; kill += kFewer) {
    TypeParam queue(1 + kill % 3);
    const Shared<std::atomic<int>> put(0);
    const pid_t victim = start_child([&] {
      for (int i = 0;; ++i) {
        queue.put(i, seconds(30));
        put->store(i + 1);
      }
    });
    int expected = 0;
    for (; expected < kill % 50; ++expected) ASSERT_EQ(queue.template get<int>(seconds(30)), expected);
    const auto until = Clock::now() + std::chrono::microseconds(kill * 7 % 40);
    while (Clock::now() < until) {
    }
    ::kill(victim, SIGKILL);
    EXPECT_EQ(end_of(victim), "signal 9 (Killed)");
    const pid_t other = start_child([&] {  // waits for room as the dead one did
      for (int i = 0; i < 10; ++i) queue.put(1'000'000 + i, seconds(10));
    });
    int item = 0;
    while ((item = queue.template get<int>(seconds(10))) < 1'000'000) ASSERT_EQ(item, expected++);
    EXPECT_GE(expected, put->load()) << "what was put must come out";
    EXPECT_LE(expected, put->load() + 1);
    for (int i = 0; i < 9; ++i) EXPECT_EQ(queue.template get<int>(seconds(10)), ++item);
    EXPECT_EQ(end_of(other), "status 0") << "after kill " << kill;
    for (int i = 0; i <= kill % 3; ++i) EXPECT_NO_THROW(queue.put(i, seconds(0))) << "it has all its room again";
  }
}

// CPython's hang: whoever is killed waiting for an item keeps the readers' lock.
TYPED_TEST(EveryQueue, AConsumerKilledWhileItWaitsHoldsUpNobody) {
  TypeParam queue(4);
  for (int kill = 0; kill < 20; ++kill) {
    const Shared<std::atomic<int>> waits(0);
    const pid_t victim = start_child([&] {
      waits->store(1);
      queue.get_bytes();
    });
    while (waits->load() == 0) std::this_thread::yield();
    std::this_thread::sleep_for(milliseconds(kill % 3));  // asleep by now, or about to be: both must do
    ::kill(victim, SIGKILL);
    EXPECT_EQ(end_of(victim), "signal 9 (Killed)");
    queue.put(kill, seconds(10));
    EXPECT_EQ(queue.template get<int>(seconds(10)), kill);
  }
}

}  // namespace
}  // namespace lab::queue
