// What a worker is sent ahead, seen from its own end of the pipe.
#include "pipeline.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <thread>

#include "chunks.hpp"
#include "results.hpp"

namespace lab::pool {
namespace {

using namespace std::chrono_literals;

template <class Item>
Chunks one_chunk(const Item& item) {
  return chunks_of(std::span(&item, 1), 1, 1, [](Encoder& out, const Item& one) { out.put(one); });
}

struct SentAhead : ::testing::Test {
  std::shared_ptr<Job> job = [] {
    const std::vector items{10, 11, 12, 13, 14, 15, 16, 17};
    return std::make_shared<MapJob<int>>(
        "square", chunks_of(items, 1, 1, [](Encoder& out, int item) { out.put(item); }), Callbacks<std::vector<int>>{});
  }();
  std::pair<Descriptor, Descriptor> pipe = make_pipe();
  Begun begun;
  Pipeline pipeline;

  SentAhead() {
    ::fcntl(pipe.second.get(), F_SETFL, O_NONBLOCK);
    pipeline = Pipeline(std::move(pipe.second), begun);
  }
  void send(std::size_t chunks) {
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) pipeline.send(job, chunk, job->chunk(chunk));
    pipeline.flush();
  }
};

TEST_F(SentAhead, MoreIsSentAheadWhileRepliesComeFast) {
  const auto one_after = [&](std::chrono::milliseconds time) {
    send(1);
    std::this_thread::sleep_for(time);
    pipeline.answered(pipeline.had());
    pipeline.replied(1);
    send(1);
    const bool full = pipeline.full();
    pipeline.answered(pipeline.had());
    return full;
  };
  EXPECT_TRUE(one_after(2ms));
  const Deadline deadline = Clock::now() + 20s;  // under load even an empty task may be slow for once
  while (one_after(0ms)) ASSERT_LT(Clock::now(), deadline);
  EXPECT_TRUE(one_after(2ms));
}

TEST_F(SentAhead, WhatTheWorkerHasNotBegunIsTakenBackInOrder) {
  send(4);
  EXPECT_EQ(pipeline.had(), 4u);
  std::deque<Waiting> queue{{job, 4, 8}};
  pipeline.take_back(queue, 1);
  EXPECT_EQ(pipeline.had(), 1u) << "what was taken back it has not had";
  ASSERT_EQ(queue.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(queue[i].next, i + 1);
  EXPECT_EQ(pipeline.in_flight().size(), 1u);
  for (std::uint64_t number = 1; number <= 4; ++number) EXPECT_EQ(begun.begin(number), number == 1);
  // Its bytes reached the worker all the same, in order.
  Inbox inbox;
  inbox.fill(pipe.first.get());
  for (std::uint64_t number = 1; number <= 4; ++number) {
    const auto frame = inbox.next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(Decoder(*frame).get<std::uint64_t>(), number);
  }
}

TEST_F(SentAhead, WhatADeadWorkerHadBegunStays) {
  send(3);
  ASSERT_TRUE(begun.begin(1));
  std::deque<Waiting> queue;
  pipeline.take_back(queue, 0);
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(pipeline.in_flight().front().chunk, 0u);
}

TEST_F(SentAhead, AReplyOutOfTurnIsGarbled) {
  send(2);
  EXPECT_THROW(pipeline.answered(2), Garbled);
  EXPECT_EQ(pipeline.answered(1).chunk, 0u);
  EXPECT_EQ(pipeline.answered(2).chunk, 1u);
  EXPECT_THROW(pipeline.answered(3), Garbled);
}

TEST_F(SentAhead, APipeWithoutRoomKeepsNobodyWaiting) {
  auto [theirs, ours] = make_pipe();
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  const auto large =
      std::make_shared<ApplyJob<std::string>>("echo", one_chunk(std::string(1 << 20, 'x')), Callbacks<std::string>{});
  Pipeline full(std::move(ours), begun);
  full.send(large, 0, large->chunk(0));
  Inbox inbox;
  for (bool whole = false; !whole; whole = inbox.next().has_value()) {
    full.flush();
    ASSERT_EQ(inbox.fill(theirs.get()), Inbox::Got::bytes);
  }
  EXPECT_TRUE(full.full());
}

}  // namespace
}  // namespace lab::pool
