// What CPython's Pool does, row by row, on processes and on threads; where that is a trap, sturdy_test.cpp has the
// repair.
#include <sstream>

#include "test_pools.hpp"

namespace lab::pool {
namespace {

class Pools : public BothVehicles {};
INSTANTIATE_TEST_SUITE_P(Pool, Pools, ::testing::Values(Vehicle::processes, Vehicle::threads), vehicle_name);

TEST(ChunkRule, IsAQuarterOfAWorkersShareRoundedUp) {
  EXPECT_EQ(default_chunk_size(100, 4), 7u);
  EXPECT_EQ(default_chunk_size(10, 4), 1u);
  EXPECT_EQ(default_chunk_size(16, 4), 1u);
  EXPECT_EQ(default_chunk_size(17, 4), 2u);
  EXPECT_EQ(default_chunk_size(0, 4), 0u);
}

// A worker that ends after its first chunk shows how many there are, and of what sizes.
TEST_P(Pools, MapMakesFourChunksAWorkerAndImapChunksOf1) {
  Options options = with(4);
  options.tasks_per_child = 1;
  Pool pool(options);
  std::map<std::string, int> items;
  for (const std::string& worker : pool.map<std::string>("worker_name", up_to(100))) ++items[worker];
  std::map<int, int> chunks_of;
  for (const auto& [worker, count] : items) ++chunks_of[count];
  EXPECT_EQ(chunks_of, (std::map<int, int>{{7, 14}, {2, 1}}));
  std::set<std::string> workers;
  for (const std::string& worker : pool.imap<std::string>("worker_name", up_to(10))) workers.insert(worker);
  EXPECT_EQ(workers.size(), 10u);
}

TEST_P(Pools, ApplyRunsOneTask) {
  Pool pool(with(2));
  EXPECT_EQ(pool.apply<int>("square", 7), 49);
  EXPECT_EQ(pool.apply<int>("subtract", 7, 3), 4);
  EXPECT_EQ(pool.apply<None>("nothing", 1), None());
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(3)).get(kSoon), 9);
}

TEST_P(Pools, MapKeepsTheOrderWhateverTheChunks) {
  Pool pool(with(3));
  std::vector<int> squares;
  for (const int x : up_to(100)) squares.push_back(x * x);
  for (const std::ptrdiff_t chunk : {1, 7, 100, 1000}) EXPECT_EQ(pool.map<int>("square", up_to(100), chunk), squares);
  EXPECT_EQ(pool.map<int>("square", up_to(100)), squares);
  EXPECT_EQ(pool.map_async<int>("square", up_to(100)).get(kSoon), squares);
}

TEST_P(Pools, StarmapSpreadsTuplesOverArguments) {
  Pool pool(with(2));
  const std::vector<std::tuple<int, int>> pairs{{5, 1}, {9, 2}, {7, 7}};
  EXPECT_EQ(pool.starmap<int>("subtract", pairs), (std::vector{4, 7, 0}));
  EXPECT_EQ(pool.starmap_async<int>("subtract", pairs, 2).get(kSoon), (std::vector{4, 7, 0}));
}

#if !defined(__clang__) || __clang_major__ >= 16  // older ones cannot read libstdc++'s views
TEST_P(Pools, AnInputWithoutALengthIsReadFirst) {
  Pool pool(with(2));
  const auto small = up_to(20);
  auto even = small | std::views::filter([](int x) { return x % 2 == 0; });
  EXPECT_EQ(pool.map<int>("square", even), (std::vector{0, 4, 16, 36, 64, 100, 144, 196, 256, 324}));
}
#endif

TEST_P(Pools, TakesWhateverTheCodecTakes) {
  Pool pool(with(2));
  const tasks::Nest nest{{"a", {std::nullopt, std::tuple(1, tasks::Superstitious{2})}}};
  const auto back = pool.apply<tasks::Nest>("nest", nest);
  EXPECT_EQ(back.size(), 2u);
  EXPECT_EQ(std::get<1>(*back.at("a")[1]).x, 2);
  EXPECT_EQ(pool.apply<std::string>("echo", "text"), "text");
  EXPECT_EQ(pool.map<bool>("even", up_to(3)), (std::vector{true, false, true}));
  std::vector<bool> bits{false, true};
  EXPECT_EQ(pool.map<int>("echo_bit", bits), (std::vector{0, 1}));
  EXPECT_EQ(pool.starmap<int>("subtract", std::vector{std::pair(5, 1)}), std::vector{4});
  EXPECT_EQ(pool.apply<int>("pay", tasks::Coin(3)), 3);  // which cannot be copied
}

#if !defined(__clang__) || __clang_major__ >= 16  // older ones cannot read libstdc++'s views
TEST_P(Pools, AnInputThatCanBeReadButOnce) {
  Pool pool(with(2));
  std::istringstream text("1 2 3"), more("4 5");
  EXPECT_EQ(pool.map<int>("square", std::views::istream<int>(text)), (std::vector{1, 4, 9}));
  auto results = pool.imap<int>("square", std::views::istream<int>(more));
  EXPECT_EQ(results.next(kSoon), 16);
  EXPECT_EQ(results.next(kSoon), 25);
  EXPECT_EQ(results.next(kSoon), std::nullopt);
}
#endif

TEST_P(Pools, NoTaskRunsWithTheWrongNumberOfArguments) {
  Pool pool(with(1));
  const std::vector<std::tuple<int, int>> pairs{{1, 2}, {3, 4}};
  EXPECT_THROW(pool.starmap<int>("mark", pairs, 2), std::invalid_argument);
  EXPECT_THROW(pool.map<int>("subtract", up_to(4), 2), std::invalid_argument);
  EXPECT_THROW(pool.imap<int>("subtract", up_to(4), 2).next(), std::invalid_argument);
  EXPECT_THROW(pool.apply<int>("mark"), std::invalid_argument);
  for (int i = 1; i <= 4; ++i) EXPECT_EQ(seen()[i], 0);
}

TEST_P(Pools, ImapKeepsTheOrderOfTheInput) {
  Pool pool(with(4));
  auto results = pool.imap<int>("sleep_ms", std::vector{60, 1, 30, 2});
  std::vector<int> order;
  for (const int x : results) order.push_back(x);
  EXPECT_EQ(order, (std::vector{60, 1, 30, 2}));
  order.clear();
  for (const int x : pool.imap<int>("square", up_to(10), 3)) order.push_back(x);
  EXPECT_EQ(order, (std::vector{0, 1, 4, 9, 16, 25, 36, 49, 64, 81}));
}

TEST_P(Pools, ImapUnorderedDeliversAsResultsArrive) {
  Pool pool(with(2));
  auto results = pool.imap_unordered<int>("wait_for_flag", std::vector{1, 2});
  seen()[2] = 1;
  EXPECT_EQ(results.next(kSoon), 2);
  seen()[1] = 1;
  EXPECT_EQ(results.next(kSoon), 1);
  EXPECT_EQ(results.next(kSoon), std::nullopt);
  auto chunks = pool.imap_unordered<int>("wait_for_flag", std::vector{3, 3, 4, 4}, 2);
  seen()[4] = 1;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(chunks.next(), 4);  // chunks as they arrive, in themselves in order
  seen()[3] = 1;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(chunks.next(), 3);
}

TEST_P(Pools, ImapTakesAFunctionAsInput) {
  Pool pool(with(2));
  int n = 0;
  auto results =
      pool.imap<int>("square", [&n]() -> std::optional<int> { return n < 3 ? std::optional(n++) : std::nullopt; });
  EXPECT_EQ(results.next(kSoon), 0);
  EXPECT_EQ(results.next(kSoon), 1);
  EXPECT_EQ(results.next(kSoon), 4);
  EXPECT_EQ(results.next(kSoon), std::nullopt);
}

TEST_P(Pools, ImapRefusesAChunkSizeBelow1) {
  Pool pool(with(1));
  EXPECT_THROW(pool.imap<int>("square", up_to(3), 0), std::invalid_argument);
  EXPECT_THROW(pool.imap_unordered<int>("square", up_to(3), -1), std::invalid_argument);
}

TEST_P(Pools, AnEmptyInputIsReadyAtOnceAndCallsNobodyBack) {
  Pool pool(with(1));
  bool called = false;
  const Callbacks<std::vector<int>> callbacks{.callback = [&](const auto&) { called = true; },
                                              .error_callback = [&](auto) { called = true; }};
  const auto result = pool.map_async<int>("square", std::vector<int>(), {}, callbacks);
  EXPECT_TRUE(result.ready());
  EXPECT_TRUE(result.get(kSoon).empty());
  EXPECT_FALSE(called);
  EXPECT_EQ(pool.imap<int>("square", std::vector<int>()).next(kSoon), std::nullopt);
}

// Items 5 (slow) and 25 fail, in chunks of 10.
TEST_P(Pools, AFailingChunkStopsTheOthersRunAndTheFirstErrorToArriveIsTold) {
  Pool pool(with(4));
  EXPECT_THROW(pool.map_async<int>("fail_on", up_to(40), 10).get(kSoon), std::out_of_range);
  for (int i = 0; i < 40; ++i) {
    const bool run = i <= 5 || (i >= 10 && i <= 25) || i >= 30;
    EXPECT_EQ(seen()[i], run ? 1 : 0) << i;
  }
}

TEST_P(Pools, MapDoesNotFailFast) {
  Pool pool(with(2));
  std::atomic<bool> called{false};
  const auto result = pool.map_async<int>("fail_or_wait", std::vector{0, 1, 2}, 1,
                                          {.callback = {}, .error_callback = [&](auto) { called = true; }});
  seen()[1] = 1;
  EXPECT_THROW(result.get(kHangs), TimeoutError);  // 0 has failed, 2 still runs
  EXPECT_FALSE(called);
  seen()[2] = 1;
  EXPECT_THROW(result.get(kSoon), std::runtime_error);
  EXPECT_TRUE(called);
}

TEST_P(Pools, ImapTellsAnErrorAtItsPlaceAndGoesOn) {
  Pool pool(with(2));
  auto results = pool.imap<int>("five_fails", up_to(8));
  for (int i = 0; i < 8; ++i) {
    if (i == 5) {
      EXPECT_THROW(results.next(kSoon), std::runtime_error);
    } else {
      EXPECT_EQ(results.next(kSoon), i);
    }
  }
  EXPECT_EQ(results.next(kSoon), std::nullopt);
}

TEST_P(Pools, ImapInChunksEndsWithTheFirstError) {
  Pool pool(with(2));
  auto results = pool.imap<int>("five_fails", up_to(12), 3);  // chunks 0 to 2, 3 to 5, 6 to 8, 9 to 11
  for (int i = 0; i < 3; ++i) EXPECT_EQ(results.next(), i);
  EXPECT_THROW(results.next(), std::runtime_error);
  EXPECT_EQ(results.next(), std::nullopt);
  auto unordered = pool.imap_unordered<int>("five_fails", up_to(12), 12);
  EXPECT_THROW(unordered.next(), std::runtime_error);
  EXPECT_EQ(unordered.next(), std::nullopt);
}

TEST_P(Pools, ImapTellsOfAFailureWhileOthersStillRun) {
  Pool pool(with(2));
  auto results = pool.imap<int>("fail_or_wait", std::vector{0, 1});
  EXPECT_THROW(results.next(kSoon), std::runtime_error);
  seen()[1] = 1;
  EXPECT_EQ(results.next(kSoon), 1);
}

TEST_P(Pools, NextWithATimeoutLosesNothingAndNeedsChunksOf1) {
  Pool pool(with(1));
  auto results = pool.imap<int>("wait_for_flag", std::vector{1, 2});
  EXPECT_THROW(results.next(20ms), TimeoutError);
  seen()[1] = seen()[2] = 1;
  EXPECT_EQ(results.next(kSoon), 1);
  EXPECT_EQ(results.next(kSoon), 2);
  EXPECT_THROW(pool.imap<int>("square", up_to(4), 2).next(kSoon), std::logic_error);
}

TEST_P(Pools, AnErrorOfTheInputComesAfterWhatWasReadBefore) {
  Pool pool(with(2));
  const auto three_then_error = [n = 0]() mutable -> std::optional<int> {
    return n < 3 ? std::optional(n++) : throw std::length_error("input");
  };
  auto results = pool.imap<int>("square", three_then_error);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(results.next(kSoon), i * i);
  EXPECT_THROW(results.next(kSoon), std::length_error);
  EXPECT_EQ(results.next(kSoon), std::nullopt);
  auto in_chunks = pool.imap<int>("square", three_then_error, 2);  // only whole chunks before it
  EXPECT_EQ(in_chunks.next(), 0);
  EXPECT_EQ(in_chunks.next(), 1);
  EXPECT_THROW(in_chunks.next(), std::length_error);
  EXPECT_EQ(in_chunks.next(), std::nullopt);
#if !defined(__clang__) || __clang_major__ >= 16  // older ones cannot read libstdc++'s views
  const auto small = up_to(5);
  const auto broken = small | std::views::transform([](int x) { return x < 3 ? x : throw std::length_error("input"); });
  EXPECT_THROW(pool.map_async<int>("square", broken, 1).get(kSoon), std::length_error);
  auto from_the_start = small | std::views::filter([](int) { return throw std::length_error("input"), true; });
  EXPECT_THROW(pool.imap<int>("square", from_the_start).next(kSoon), std::length_error);
#endif
}

TEST_P(Pools, ArgumentsThatCannotBeEncodedFailTheirCallOnly) {
  Pool pool(with(1));
  EXPECT_THROW(pool.apply_async<int>("square", std::tuple(tasks::Superstitious{13})).get(kSoon), MessageError);
  const std::vector<tasks::Superstitious> items{{1}, {13}, {2}};
  int called = 0;
  const Callbacks<std::vector<int>> callbacks{.callback = {}, .error_callback = [&](auto) { ++called; }};
  EXPECT_THROW(pool.map_async<int>("unlucky", items, 1, callbacks).get(kSoon), MessageError);
  EXPECT_THROW(pool.map_async<int>("unlucky", items, 3, callbacks).get(kSoon), MessageError);
  EXPECT_EQ(called, 2);
  auto results = pool.imap<int>("unlucky", items);
  EXPECT_EQ(results.next(kSoon), 1);
  EXPECT_THROW(results.next(kSoon), MessageError);
  EXPECT_EQ(results.next(kSoon), 2);
  pool.close();
  EXPECT_TRUE(pool.join(kSoon));
}

TEST_P(Pools, AResultThatCannotBeEncodedIsAnErrorThatSaysSo) {
  Pool pool(with(1));
  try {
    pool.apply<tasks::Superstitious>("thirteen", 13);
    FAIL();
  } catch (const MaybeEncodingError& error) {
    EXPECT_NE(std::string(error.what()).find("13 is not sent"), std::string::npos);
  }
  EXPECT_EQ(pool.apply<tasks::Superstitious>("thirteen", 12).x, 12);
  EXPECT_EQ(pool.apply<std::string>("worker_name", 1).back(), '1');  // the worker lives
}

TEST_P(Pools, ARemoteErrorKeepsItsTypeAndSaysWhereItCameFrom) {
  Pool pool(with(1));
  try {
    pool.apply<int>("custom_error", 1);
    FAIL();
  } catch (const tasks::Custom& error) {
    EXPECT_STREQ(error.what(), "made to measure");
    try {
      std::rethrow_if_nested(error);
      FAIL();
    } catch (const RemoteTraceback& cause) {
      EXPECT_NE(std::string(cause.what()).find("task custom_error"), std::string::npos);
    }
  }
  EXPECT_THROW(pool.apply<int>("no such task", 1), std::invalid_argument);
  EXPECT_THROW(pool.apply<int>("square", std::string("text")), MessageError);  // not what square takes
}

TEST_P(Pools, AResultCanBeAskedAndWaitedFor) {
  Pool pool(with(1));
  const auto result = pool.apply_async<int>("wait_for_flag", std::tuple(1));
  EXPECT_FALSE(result.ready());
  EXPECT_THROW(result.successful(), std::logic_error);
  result.wait(20ms);
  EXPECT_THROW(result.get(1ms), TimeoutError);
  seen()[1] = 1;
  EXPECT_EQ(result.get(kSoon), 1);
  EXPECT_EQ(result.get(kSoon), 1);
  EXPECT_TRUE(result.successful());
  const auto failed = pool.apply_async<int>("odd_fails", std::tuple(1));
  failed.wait(kSoon);
  EXPECT_FALSE(failed.successful());
}

TEST_P(Pools, AVeryLongTimeoutIsNone) {
  Pool pool(with(1));
  EXPECT_EQ(pool.apply_async<int>("sleep_ms", std::tuple(20)).get(std::chrono::nanoseconds::max()), 20);
  EXPECT_EQ(pool.imap<int>("sleep_ms", std::vector{20}).next(std::chrono::nanoseconds::max()), 20);
  const auto last = pool.apply_async<int>("sleep_ms", std::tuple(20));
  pool.close();
  EXPECT_TRUE(pool.join(std::chrono::nanoseconds::max()));
  EXPECT_TRUE(last.ready());
}

TEST_P(Pools, CallbacksRunInTheHandlersThreadBeforeTheResultIsReady) {
  Pool pool(with(1));
  std::atomic<bool> may_end{false};
  std::optional<AsyncResult<int>> first;
  std::atomic<int> ready_inside{-1};
  std::mutex made;
  std::unique_lock making(made);
  std::thread::id handler;
  first = pool.apply_async<int>("square", std::tuple(3), {.callback = [&](int) {
                                  const std::lock_guard wait(made);
                                  handler = std::this_thread::get_id();
                                  ready_inside = first->ready();
                                  eventually([&] { return may_end.load(); });
                                }});
  making.unlock();
  const auto second = pool.apply_async<int>("square", std::tuple(4));
  EXPECT_THROW(second.get(kHangs), TimeoutError);  // a slow callback holds up all results
  may_end = true;
  EXPECT_EQ(second.get(kSoon), 16);
  EXPECT_EQ(ready_inside, 0);
  EXPECT_NE(handler, std::this_thread::get_id());
}

TEST_P(Pools, MapCallsBackOnceWithTheWholeListOrTheErrorAfterAllChunks) {
  Pool pool(with(2));
  int calls = 0, errors = 0;
  std::vector<int> got;
  pool.map_async<int>(
          "square", up_to(10), 1,
          {.callback = [&](const auto& all) { ++calls, got = all; }, .error_callback = [&](auto) { ++errors; }})
      .wait(kSoon);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(got, pool.map<int>("square", up_to(10)));
  pool.map_async<int>("odd_fails", up_to(10), 1,
                      {.callback = [&](const auto&) { ++calls; }, .error_callback = [&](auto) { ++errors; }})
      .wait(kSoon);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(errors, 1);
}

TEST_P(Pools, ACallbackMaySubmitButNotWaitForItself) {
  Pool pool(with(1));
  std::optional<AsyncResult<int>> inner;
  int refused = 0;
  const auto waits = [&](auto wait) {
    try {
      wait();
    } catch (const std::logic_error&) {
      ++refused;
    }
  };
  pool.apply_async<int>("square", std::tuple(3),
                        {.callback =
                             [&](int nine) {
                               inner = pool.apply_async<int>("square", std::tuple(nine));
                               waits([&] { pool.apply<int>("square", 1); });
                               waits([&] { pool.imap<int>("square", up_to(2)).next(); });
                               waits([&] { pool.close(), pool.join(); });
                             }})
      .wait(kSoon);
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(inner->get(kSoon), 81);
  EXPECT_TRUE(pool.join(kSoon));
  Pool ended(with(1));
  ended.apply_async<int>("square", std::tuple(3), {.callback = [&](int) { ended.terminate(); }}).wait(kSoon);
  EXPECT_TRUE(eventually([&] { return ended.join(0ms); }));
}

TEST_P(Pools, StatesAreKept) {
  Pool pool(with(1));
  EXPECT_THROW(pool.join(), std::logic_error);  // Pool is still running
  const auto last = pool.map_async<int>("square", up_to(50), 1);
  pool.close();
  EXPECT_THROW(pool.apply<int>("square", 1), NotRunning);
  EXPECT_THROW(pool.map<int>("square", std::vector<int>()), NotRunning);
  EXPECT_THROW(pool.imap<int>("square", up_to(1)), NotRunning);
  EXPECT_TRUE(pool.join(kSoon));
  EXPECT_EQ(last.get(0ms).size(), 50u);  // close does what was submitted
  pool.terminate();
  pool.terminate();
  pool.close();  // of what is terminated changes nothing
  EXPECT_TRUE(pool.join(kSoon));
  EXPECT_THROW(pool.apply<int>("square", 1), NotRunning);
}

TEST_P(Pools, AfterCloseWorkersAreReplacedUntilAllIsDone) {
  Options options = with(2);
  options.tasks_per_child = 1;
  Pool pool(options);
  const auto all = pool.map_async<int>("square", up_to(20), 1);
  auto results = pool.imap<int>("echo_number", up_to(1000), 10);  // more than it reads ahead
  pool.close();
  ASSERT_TRUE(pool.join(kSoon));
  EXPECT_EQ(all.get(0ms).size(), 20u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(results.next(), i);
}

}  // namespace
}  // namespace lab::pool
