// Where CPython's Pool has a trap: what this one does instead.
#include <fmt/format.h>

#include <random>

#include "test_pools.hpp"

namespace lab::pool {
namespace {

class Traps : public BothVehicles {};
INSTANTIATE_TEST_SUITE_P(Pool, Traps, ::testing::Values(Vehicle::processes, Vehicle::threads), vehicle_name);

template <class E, class V>
std::string told(const AsyncResult<V>& result) {
  try {
    result.get(kSoon);
  } catch (const E& error) {
    return error.what();
  } catch (...) {
    ADD_FAILURE() << "another error: " << sentence_of(std::current_exception());
    return "";
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST_P(Traps, AChunkSizeBelow1) {
  Pool pool(with(1));
  for (const std::ptrdiff_t size : {0, -1})
    EXPECT_THROW(pool.map<int>("mark", std::vector{7, 8}, size), std::invalid_argument);
  EXPECT_EQ(seen()[7], 0);
}

TEST_P(Traps, ImapReadsItsInputABoundAhead) {
  const auto count = [](int most) {
    return [n = 0, most]() mutable { return n < most ? (++seen()[1], std::optional(n++)) : std::nullopt; };
  };
  Pool pool(with(1));
  auto results = pool.imap<int>("echo_number", count(INT_MAX));  // as good as endless
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(results.next(kSoon), i);
    ASSERT_LE(seen()[1], i + 1 + 65 + 1);  // 64 in store, one that waits for room, one that this next() made room for
  }
}

// What a bound on reading brings with it: whoever waits for a consumer must notice that there is none any more.
TEST_P(Traps, ImapLetsGoOfItsInputWhenItsResultsAreDropped) {
  Pool pool(with(2));
  const auto endless = [n = 0]() mutable { return std::optional(n++); };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool.imap<int>("echo_number", endless).next(kSoon), 0);  // and is dropped
  pool.close();
  EXPECT_TRUE(pool.join(kSoon));
}

TEST_P(Traps, ACallbackThatThrows) {
  const Callbacks<int> bad{.callback = [](int) { throw std::runtime_error("bad callback"); }};
  Pool pool(with(2));
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(2), bad).get(kSoon), 4);
  EXPECT_EQ(pool.apply<int>("square", 3), 9);
  const Callbacks<int> bad_error{.error_callback = [](auto) { throw std::runtime_error("bad error callback"); }};
  told<std::runtime_error>(pool.apply_async<int>("odd_fails", std::tuple(1), bad_error));
  told<MessageError>(pool.apply_async<int>("unlucky", std::tuple(tasks::Superstitious{13}), bad_error));
  EXPECT_EQ(pool.apply<int>("square", 4), 16);
}

TEST_P(Traps, AResultOrAnErrorThatCannotBeDecoded) {
  Pool pool(with(2));
  told<std::bad_alloc>(pool.apply_async<int>("unreadable_error", std::tuple(1)));
  const std::string sentence = told<MessageError>(pool.apply_async<std::string>("square", std::tuple(3)));
  EXPECT_NE(sentence.find("the reply of task square"), std::string::npos) << sentence;
  told<MessageError>(pool.map_async<std::string>("square", up_to(10), 3));
  EXPECT_EQ(pool.apply<int>("square", 3), 9);
}

TEST_P(Traps, WhatIsNoOrdinaryErrorIsTheTasksErrorToo) {
  for (const char* task : {"leaves", "throws_number"}) {
    Pool pool(with(1));
    told<TaskError>(pool.apply_async<int>(task, std::tuple(3)));
    EXPECT_EQ(pool.apply<std::string>("worker_name", 1).back(), '1');  // it lives
  }
}

TEST_P(Traps, WhatIsPendingAtTerminate) {
  const auto pending = [](Pool& pool) {
    std::vector results{pool.map_async<int>("wait_for_flag", up_to(8), 1), pool.map_async<int>("square", up_to(8), 1)};
    auto stream = pool.imap<int>("square", up_to(8));
    pool.terminate();
    return std::pair(results, std::move(stream));
  };
  Pool pool(with(2));
  auto [results, stream] = pending(pool);
  told<Terminated>(results[0]);
  told<Terminated>(results[1]);
  EXPECT_THROW(stream.next(kSoon), Terminated);
  EXPECT_EQ(stream.next(kSoon), std::nullopt);
  for (int i = 0; i < 8; ++i) seen()[i] = 1;
}

TEST_P(Traps, AnInitializerThatFails) {
  Options options = with(2);
  options.initializer = "initializer_fails";
  options.initargs = encode(9);
  Pool pool(options);
  std::string sentence;
  EXPECT_TRUE(eventually([&] {
    try {
      pool.apply_async<int>("square", std::tuple(2)).get(kSoon);
    } catch (const NotRunning& error) {
      sentence = error.what();
    }
    return !sentence.empty();
  }));
  EXPECT_NE(sentence.find("no database"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("initializer_fails"), std::string::npos) << sentence;
  // Of two workers three have failed, and one may have been on its way.
  EXPECT_FALSE(eventually([] { return seen()[9] > 4; }, kHangs)) << "it starts more and more of them";
}

TEST_P(Traps, AnInitializerThatThrowsANumber) {
  Options options = with(1);
  options.initializer = "initializer_throws_number";
  Pool pool(options);
  EXPECT_TRUE(eventually([&] {
    try {
      pool.apply_async<int>("square", std::tuple(2)).get(kSoon);
    } catch (const NotRunning& error) {
      return std::string(error.what()).find("no std::exception") != std::string::npos;
    }
    return false;
  }));
}

// Three failures break it; to be killed is not to fail.
TEST(Killed, WhileStartingIsCountedApartFromFailing) {
  Options options = with(1);
  options.initializer = "initializer_has_bad_luck";
  options.initargs = encode(9);
  seen()[9] = 0;
  Pool pool(options);
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(3)).get(kSoon), 9);
  EXPECT_EQ(seen()[9], 13);
}

TEST(Killed, AWorkerThatDiesFailsItsTaskAndIsReplaced) {
  Pool pool(with(1));
  const pid_t pid = pool.pids().front();
  const std::string sentence = told<WorkerLost>(pool.apply_async<int>("kill_self", std::tuple(SIGKILL)));
  for (const std::string& part : {fmt::format("pid {}", pid), std::string("signal 9"), std::string("kill_self"),
                                  std::string("ForkPoolWorker-1")}) {
    EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
  }
  EXPECT_NE(pool.apply<int>("pid", 1), pid);
  EXPECT_NE(told<WorkerLost>(pool.apply_async<int>("exits", std::tuple(5))).find("status 5"), std::string::npos);
  EXPECT_EQ(pool.apply<int>("square", 3), 9);
  pool.close();
  EXPECT_TRUE(pool.join(kSoon));
}

// Not when somebody next replies, not when its pipes are closed: its death itself is the event.
TEST(Killed, IsToldWhileOthersAreAtWorkAndItsChildrenHoldItsPipes) {
  for (const int flag : {1, 2}) seen()[flag] = 0;
  Pool pool(with(2));
  const auto other = pool.apply_async<int>("wait_for_flag", std::tuple(1));
  told<WorkerLost>(pool.apply_async<int>("kill_self", std::tuple(SIGKILL)));
  const std::string sentence = told<WorkerLost>(pool.apply_async<int>("die_leaving_a_child", std::tuple(2)));
  EXPECT_NE(sentence.find("signal 9"), sentence.npos) << sentence;
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(3)).get(kSoon), 9);  // by who replaced it
  EXPECT_FALSE(other.ready());
  EXPECT_EQ(seen()[2], 0);  // the child lives
  seen()[1] = seen()[2] = 1;
  EXPECT_EQ(other.get(kSoon), 1);
  EXPECT_TRUE(eventually([] { return seen()[2] == 2; }));
}

TEST(Killed, OnlyTheChunkThatRanFails) {
  Pool pool(with(2));
  pool.map<int>("square", up_to(1000), 1);  // now several chunks are on their way to a worker at once
  auto good = pool.map_async<int>("square", up_to(300), 1);
  auto fatal = pool.apply_async<int>("kill_self", std::tuple(SIGABRT));
  auto more = pool.map_async<int>("square", up_to(300), 1);
  EXPECT_NE(told<WorkerLost>(fatal).find("signal 6"), std::string::npos);
  EXPECT_EQ(good.get(kSoon).size(), 300u);
  EXPECT_EQ(more.get(kSoon).size(), 300u);
}

TEST(Killed, AtEachMomentExactlyWhatItHadBegunIsLost) {
  for (int i = 0; i < 3; ++i) seen()[i] = 0;
  Pool pool(with(1));
  const std::string large(4 << 20, 'x');
  ::kill(pool.pids().front(), SIGKILL);  // idle
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(3)).get(kSoon), 9);
  ::kill(pool.pids().front(), SIGSTOP);  // reading: no more of the chunk than a pipe holds is on its way
  const auto unread = pool.apply_async<std::string>("echo", std::tuple(large));
  ::kill(pool.pids().front(), SIGKILL);
  EXPECT_TRUE(unread.get(kSoon) == large);  // by who replaced it
  // Writing: while a callback runs nobody reads.
  pool.apply_async<int>("square", std::tuple(3),
                        {.callback = [](int) { seen()[0] = 1, eventually([] { return seen()[1] == 1; }); }});
  ASSERT_TRUE(eventually([] { return seen()[0] == 1; }));
  const auto unwritten = pool.apply_async<std::string>("large_result", std::tuple(2));
  ASSERT_TRUE(eventually([] { return seen()[2] == 1; }));
  ::kill(pool.pids().front(), SIGKILL);
  const auto next = pool.apply_async<int>("square", std::tuple(4));
  seen()[1] = 1;
  EXPECT_NE(told<WorkerLost>(unwritten).find("task large_result"), std::string::npos);
  EXPECT_EQ(next.get(kSoon), 16);
}

// Idle, reading a large argument, computing, writing a large result, in short tasks and in long ones.
TEST(Killed, AtAnyMomentAtMostOneTaskIsLost) {
  Pool pool(with(2));
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    const bool large = round % 2 == 0;
    pool.map<int>("sleep_ms", std::vector{2, 2}, 1);  // both workers are there
    const std::string text(large ? 1 << 20 : 10, 'x');
    auto results = pool.imap<std::string>("echo", std::vector(large ? 4 : 400, text));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 8000));
    ::kill(pool.pids()[round / 2 % 2], SIGKILL);
    int failed = 0;
    for (int i = 0; i < (large ? 4 : 400); ++i) {
      try {
        ASSERT_TRUE(results.next(kSoon) == text);
      } catch (const WorkerLost&) {
        ++failed;
      }
    }
    EXPECT_LE(failed, 1);
  }
}

TEST(Killed, TwoHundredTimesInARow) {
  Pool pool(with(2));
  std::vector<AsyncResult<int>> good, fatal;
  for (int i = 0; i < 200; ++i) {
    fatal.push_back(pool.apply_async<int>("kill_self", std::tuple(SIGKILL)));
    good.push_back(pool.apply_async<int>("square", std::tuple(i)));
  }
  for (int i = 0; i < 200; ++i) EXPECT_EQ(good[i].get(kSoon), i * i);
  for (const auto& result : fatal) told<WorkerLost>(result);
}

TEST(Killed, TheNurseryBreaksThePoolWithASentence) {
  start::Nursery nursery;
  Pool pool({.processes = 2, .nursery = &nursery});
  const auto pending = pool.map_async<int>("sleep_ms", std::vector{60'000, 60'000}, 1);
  ::kill(nursery.server(), SIGKILL);
  const auto names_the_nursery = [](const std::exception& error) {
    const std::string said = error.what();
    return said.find("lost with its nursery") != said.npos && said.find("status") == said.npos;
  };
  try {
    pending.get(kSoon);
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_TRUE(names_the_nursery(error)) << error.what();
  }
  EXPECT_TRUE(eventually([&] {
    try {
      pool.apply_async<int>("square", std::tuple(1)).get(kSoon);
    } catch (const NotRunning& error) {
      return names_the_nursery(error);
    } catch (const WorkerLost&) {
    }
    return false;
  }));
}

}  // namespace
}  // namespace lab::pool
