// What CPython's queues do, rule by rule.
#include "queues.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <csignal>
#include <functional>
#include <map>
#include <vector>

#include "common/os/test_child.hpp"
#include "common/os/test_timeouts.hpp"

namespace lab::queues {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::string_literals::operator""s;

// A worker that ends as multiprocessing's do: what is to be done at its end is done.
pid_t start_worker(const std::function<void()>& body) {
  return start_child([&] {
    body();
    start::run_exit_order();
  });
}

bool ends_within(pid_t child, std::chrono::nanoseconds time) {
  const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  return wait_for(handle.get(), POLLIN, Clock::now() + time);
}

// An item that cannot be encoded where it is `bad`.
struct Stubborn {
  int number = 0;
  bool bad = false;
  auto members() {
    if (bad) throw MessageError("it will not be encoded");
    return std::tie(number, bad);
  }
};

TEST(SimpleQueue, ItemsComeOutInOrder) {
  SimpleQueue<std::string> queue;
  EXPECT_TRUE(queue.empty());
  for (const auto& item : {"one"s, ""s, "three"s}) queue.put(item);
  EXPECT_FALSE(queue.empty());
  for (const auto& item : {"one"s, ""s, "three"s}) EXPECT_EQ(queue.get(), item);
}

TEST(SimpleQueue, EmptyAfterCloseIsAnError) {
  SimpleQueue<int> queue;
  queue.close();
  EXPECT_THROW(queue.empty(), pipe::NotOpen);
  EXPECT_THROW(queue.put(1), pipe::NotOpen);
  EXPECT_THROW(queue.get(), pipe::NotOpen);
}

TEST(SimpleQueue, PutBlocksWhileThePipeIsFull) {
  SimpleQueue<std::string> queue;
  const pid_t child = start_worker([&] { queue.put(std::string(1 << 20, 'x')); });
  EXPECT_FALSE(ends_within(child, milliseconds(100)));
  EXPECT_EQ(queue.get().size(), 1u << 20);
  EXPECT_EQ(end_of(child), "status 0");
}

TEST(Queue, PutReturnsAtOnceHoweverMuchItIs) {
  Queue<std::string> queue;
  for (int i = 0; i < 16; ++i) queue.put(std::string(1 << 20, static_cast<char>('a' + i)));
  for (int i = 0; i < 16; ++i) EXPECT_EQ(queue.get(seconds(30)), std::string(1 << 20, static_cast<char>('a' + i)));
}

TEST(Queue, WhatCannotBeEncodedIsPrintedAndItsSlotGivenBack) {
  testing::internal::CaptureStderr();
  Queue<Stubborn> queue(1);
  queue.put({1, true});
  queue.put({2, false}, seconds(30));  // has room only when the first one's slot is free again
  EXPECT_EQ(queue.get(seconds(30)).number, 2);
  EXPECT_EQ(queue.qsize(), 0u);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("it will not be encoded"), std::string::npos);
}

TEST(Queue, TheCapacityCountsWhatWasPutAndNotYetGot) {
  Queue<int> queue(3);
  for (int i = 0; i < 3; ++i) queue.put(i, seconds(0));
  EXPECT_TRUE(queue.full());
  EXPECT_EQ(queue.qsize(), 3u);
  EXPECT_THROW(queue.put(3, seconds(0)), Full);
  const auto begin = Clock::now();
  EXPECT_THROW(queue.put(3, milliseconds(30)), Full);
  EXPECT_GE(Clock::now() - begin, milliseconds(30));
  EXPECT_EQ(queue.get(seconds(30)), 0);
  EXPECT_EQ(queue.qsize(), 2u);
  queue.put(3, seconds(0));
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(queue.get(seconds(30)), i);
  EXPECT_THROW(queue.get(seconds(0)), Empty);
  EXPECT_THROW(queue.get(milliseconds(30)), Empty);
}

TEST(Queue, AsLongAsItTakesIsNoTimeoutInAnyUnit) {
  JoinableQueue<int> queue(1);
  const auto put = [&] { queue.put(1, seconds(30)); };
  const auto get = [&] { EXPECT_EQ(queue.get(seconds(30)), 1); };
  expect_no_timeout([&](Timeout timeout) { EXPECT_EQ(queue.get(timeout), 1); }, put);
  put();
  expect_no_timeout([&](Timeout timeout) { queue.put(1, timeout); }, get);
  for (const Timeout& nothing : kNoTime) {
    EXPECT_THROW(queue.put(1, nothing), Full);
    EXPECT_FALSE(queue.join(nothing));
  }
  get();
  for (const Timeout& nothing : kNoTime) EXPECT_THROW(queue.get(nothing), Empty);
}

TEST(JoinableQueue, JoinsInAsLongAsItTakes) {
  JoinableQueue<int> queue;
  queue.put(1);
  expect_no_timeout(
      [&](Timeout timeout) {
        EXPECT_TRUE(queue.join(timeout));
        queue.put(1);
      },
      [&] { queue.task_done(); });
}

TEST(Queue, EmptyAsksThePipeAndQsizeTheSlots) {
  Queue<std::string> queue;
  const std::string most(60'000, 'x');
  for (int i = 0; i < 3; ++i) queue.put(most);  // one in the pipe and one half, the third in the buffer
  EXPECT_EQ(queue.qsize(), 3u);
  for (unsigned left = 3; left > 0; --left) {
    EXPECT_EQ(queue.qsize(), left);
    queue.get(seconds(30));
  }
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.qsize(), 0u);
}

TEST(Queue, IsFifoForEachProducer) {
  Queue<std::tuple<int, int>> queue;
  std::vector<pid_t> producers;
  for (int p = 0; p < 4; ++p) {
    producers.push_back(start_worker([&, p] {
      for (int i = 0; i < 2000; ++i) queue.put({p, i});
    }));
  }
  std::map<int, int> next;
  for (int i = 0; i < 8000; ++i) {
    const auto [producer, number] = queue.get(seconds(30));
    ASSERT_EQ(number, next[producer]++);
  }
  for (const pid_t pid : producers) EXPECT_EQ(end_of(pid), "status 0");
}

TEST(Queue, AfterCloseThisProcessNeitherPutsNorGets) {
  Queue<int> queue;
  queue.put(1);
  EXPECT_THROW(queue.join_thread(), Misuse) << "close comes first";
  queue.close();
  queue.close();
  EXPECT_THROW(queue.put(2), Misuse);
  EXPECT_THROW(queue.get(), Misuse);
  queue.join_thread();
  EXPECT_FALSE(queue.empty()) << "what was put before has gone out";
}

// CPython 3.11: 1 MiB put, join(0.7): alive; one get: it ends. 60,000 bytes: it ends at once.
TEST(Queue, TrapAChildWithMoreUnreadThanThePipeHoldsCannotEnd) {
  for (const std::size_t bytes : {std::size_t{60'000}, std::size_t{1} << 20}) {
    Queue<std::string> queue;
    const pid_t child = start_worker([&] { queue.put(std::string(bytes, 'x')); });
    EXPECT_EQ(ends_within(child, bytes > 65536 ? seconds(0) + milliseconds(300) : seconds(30)), bytes <= 65536);
    EXPECT_EQ(queue.get(seconds(30)).size(), bytes);
    EXPECT_EQ(end_of(child), "status 0");
  }
}

TEST(Queue, CancelJoinThreadLetsItEndAndLosesTheRest) {
  Queue<std::string> queue;
  const pid_t child = start_worker([&] {
    queue.put(std::string(1 << 20, 'x'));
    queue.cancel_join_thread();
  });
  EXPECT_TRUE(ends_within(child, seconds(30)));
  EXPECT_EQ(end_of(child), "status 0");
}

TEST(Queue, TrapAReaderKilledInGetKeepsTheLock) {
  struct Watched : Queue<int> {
    bool somebody_reads() const { return read_lock_.value() == 0; }
  } queue;
  const pid_t reader = start_worker([&] { queue.get(); });
  for (const Deadline deadline = soon(); !queue.somebody_reads() && Clock::now() < deadline;) std::this_thread::yield();
  ::kill(reader, SIGKILL);
  EXPECT_EQ(end_of(reader), "signal 9 (Killed)");
  queue.put(1);
  for (const Deadline deadline = soon(); queue.empty() && Clock::now() < deadline;) std::this_thread::yield();
  EXPECT_THROW(queue.get(milliseconds(100)), Empty) << "although an item is there";
}

TEST(Queue, ChildrenBeginWithAnEmptyBufferAndAFeederOfTheirOwn) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer lets no child of a process with threads start a thread";
#endif
  Queue<std::string> queue;
  queue.put(std::string(200'000, 'p'));  // more than the pipe holds: most of it is still in this process
  const pid_t child = start_worker([&] { queue.put("child's"); });
  std::vector<std::string> got{queue.get(seconds(30)), queue.get(seconds(30))};
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got[0], "child's");
  EXPECT_EQ(got[1], std::string(200'000, 'p')) << "once, and whole";
  EXPECT_THROW(queue.get(milliseconds(50)), Empty) << "the child sent nothing of its parent's";
  EXPECT_EQ(end_of(child), "status 0");
}

TEST(Queue, NothingIsLostOrDoubledBetweenProducersAndConsumers) {
  constexpr int kProcesses = 4, kItems = 5000;
  Queue<int> queue(50), results;
  std::vector<pid_t> pids;
  for (int p = 0; p < kProcesses; ++p) {
    pids.push_back(start_worker([&, p] {
      for (int i = 0; i < kItems; ++i) queue.put(p * kItems + i);
    }));
    pids.push_back(start_worker([&] {
      for (int item; (item = queue.get()) >= 0;) results.put(item);
    }));
  }
  std::vector<int> seen(kProcesses * kItems);
  for (int i = 0; i < kProcesses * kItems; ++i) ++seen.at(static_cast<std::size_t>(results.get(seconds(60))));
  for (int p = 0; p < kProcesses; ++p) queue.put(-1);
  for (const int times : seen) ASSERT_EQ(times, 1);
  for (const pid_t pid : pids) EXPECT_EQ(end_of(pid), "status 0");
}

TEST(JoinableQueue, JoinWaitsForTheLastTaskDone) {
  JoinableQueue<int> queue;
  for (int i = 0; i < 10; ++i) queue.put(i);
  EXPECT_FALSE(queue.join(milliseconds(20)));
  const pid_t consumer = start_worker([&] {
    for (int i = 0; i < 10; ++i) {
      queue.get();
      queue.task_done();
    }
  });
  EXPECT_TRUE(queue.join(seconds(30)));
  EXPECT_EQ(end_of(consumer), "status 0");
  EXPECT_THROW(queue.task_done(), Misuse);
}

TEST(JoinableQueue, APutThatFoundNoRoomIsNotAwaited) {
  JoinableQueue<int> queue(1);
  queue.put(1);
  EXPECT_THROW(queue.put(2, milliseconds(5)), Full);
  queue.get();
  queue.task_done();
  EXPECT_TRUE(queue.join(seconds(0) + milliseconds(1)));
}

TEST(JoinableQueue, TrapAKilledConsumerIsAwaitedForEver) {
  JoinableQueue<int> queue;
  queue.put(1);
  const pid_t consumer = start_worker([&] {
    queue.get();
    ::raise(SIGKILL);
  });
  EXPECT_EQ(end_of(consumer), "signal 9 (Killed)");
  EXPECT_FALSE(queue.join(milliseconds(100)));
}

}  // namespace
}  // namespace lab::queues
