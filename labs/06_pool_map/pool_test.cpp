// What CPython's Pool does, row by row, on processes and on threads; its traps, and their repair, are in
// sturdy_pool_test.cpp.
#include "pool_tasks.hpp"

namespace lab::pool {
namespace {

class Faithful : public BothVehicles {};
INSTANTIATE_TEST_SUITE_P(Pool, Faithful, ::testing::Values(Vehicle::processes, Vehicle::threads), vehicle_name);

TEST(ChunkRule, IsAQuarterOfAWorkersShareRoundedUp) {
  EXPECT_EQ(default_chunk_size(100, 4), 7u);
  EXPECT_EQ(default_chunk_size(10, 4), 1u);
  EXPECT_EQ(default_chunk_size(16, 4), 1u);
  EXPECT_EQ(default_chunk_size(17, 4), 2u);
  EXPECT_EQ(default_chunk_size(0, 4), 0u);
}

TEST_P(Faithful, ApplyRunsOneTask) {
  Pool pool(with(2));
  EXPECT_EQ(pool.apply<int>("square", 7), 49);
  EXPECT_EQ(pool.apply<int>("subtract", 7, 3), 4);
  EXPECT_EQ(pool.apply<None>("nothing", 1), None());
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(3)).get(kSoon), 9);
}

TEST_P(Faithful, MapKeepsTheOrderWhateverTheChunks) {
  Pool pool(with(3));
  std::vector<int> squares;
  for (const int x : up_to(100)) squares.push_back(x * x);
  for (const std::ptrdiff_t chunk : {1, 7, 100, 1000}) EXPECT_EQ(pool.map<int>("square", up_to(100), chunk), squares);
  EXPECT_EQ(pool.map<int>("square", up_to(100)), squares);
  EXPECT_EQ(pool.map_async<int>("square", up_to(100)).get(kSoon), squares);
}

TEST_P(Faithful, StarmapSpreadsTuplesOverArguments) {
  Pool pool(with(2));
  const std::vector<std::tuple<int, int>> pairs{{5, 1}, {9, 2}, {7, 7}};
  EXPECT_EQ(pool.starmap<int>("subtract", pairs), (std::vector{4, 7, 0}));
  EXPECT_EQ(pool.starmap_async<int>("subtract", pairs, 2).get(kSoon), (std::vector{4, 7, 0}));
}

TEST_P(Faithful, AnInputWithoutALengthIsReadFirst) {
  Pool pool(with(2));
  const auto small = up_to(20);
  auto even = small | std::views::filter([](int x) { return x % 2 == 0; });
  EXPECT_EQ(pool.map<int>("square", even), (std::vector{0, 4, 16, 36, 64, 100, 144, 196, 256, 324}));
}

TEST_P(Faithful, ImapKeepsTheOrderOfTheInput) {
  Pool pool(with(4));
  auto results = pool.imap<int>("sleep_ms", std::vector{60, 1, 30, 2});
  std::vector<int> order;
  for (const int x : results) order.push_back(x);
  EXPECT_EQ(order, (std::vector{60, 1, 30, 2}));
  order.clear();
  for (const int x : pool.imap<int>("square", up_to(10), 3)) order.push_back(x);
  EXPECT_EQ(order, (std::vector{0, 1, 4, 9, 16, 25, 36, 49, 64, 81}));
}

TEST_P(Faithful, ImapUnorderedDeliversAsResultsArrive) {
  Pool pool(with(2));
  auto results = pool.imap_unordered<int>("wait_for_flag", std::vector{1, 2});
  seen()[2] = 1;
  EXPECT_EQ(results.next(kSoon), 2);
  seen()[1] = 1;
  EXPECT_EQ(results.next(kSoon), 1);
  EXPECT_EQ(results.next(kSoon), std::nullopt);
}

TEST_P(Faithful, ImapTakesAFunctionAsInput) {
  Pool pool(with(2));
  int n = 0;
  auto results =
      pool.imap<int>("square", [&n]() -> std::optional<int> { return n < 3 ? std::optional(n++) : std::nullopt; });
  EXPECT_EQ(results.next(kSoon), 0);
  EXPECT_EQ(results.next(kSoon), 1);
  EXPECT_EQ(results.next(kSoon), 4);
  EXPECT_EQ(results.next(kSoon), std::nullopt);
}

TEST_P(Faithful, ImapRefusesAChunkSizeBelow1) {
  Pool pool(with(1));
  EXPECT_THROW(pool.imap<int>("square", up_to(3), 0), std::invalid_argument);
  EXPECT_THROW(pool.imap_unordered<int>("square", up_to(3), -1), std::invalid_argument);
}

TEST_P(Faithful, AnEmptyInputIsReadyAtOnceAndCallsNobodyBack) {
  Pool pool(with(1));
  bool called = false;
  const auto result =
      pool.map_async<int>("square", std::vector<int>(), {}, {.callback = [&](const auto&) { called = true; }});
  EXPECT_TRUE(result.ready());
  EXPECT_TRUE(result.get(kSoon).empty());
  EXPECT_FALSE(called);
  EXPECT_EQ(pool.imap<int>("square", std::vector<int>()).next(kSoon), std::nullopt);
}

// Items 5 (slow) and 25 fail, in chunks of 10.
TEST_P(Faithful, AFailingChunkStopsTheOthersRunAndTheFirstErrorToArriveIsTold) {
  Pool pool(with(4));
  EXPECT_THROW(pool.map_async<int>("fail_on", up_to(40), 10).get(kSoon), std::out_of_range);
  for (int i = 0; i < 40; ++i) {
    const bool run = i <= 5 || (i >= 10 && i <= 25) || i >= 30;
    EXPECT_EQ(seen()[i], run ? 1 : 0) << i;
  }
}

TEST_P(Faithful, MapDoesNotFailFast) {
  Pool pool(with(2));
  const auto result = pool.map_async<int>("wait_for_flag", std::vector{1, 2}, 1);
  const auto failing = pool.map_async<int>("five_fails", std::vector{5}, 1);
  EXPECT_THROW(failing.get(100ms), TimeoutError);  // both workers are busy
  seen()[1] = 1;
  EXPECT_THROW(failing.get(kSoon), std::runtime_error);
  EXPECT_FALSE(result.ready());
  seen()[2] = 1;
  EXPECT_EQ(result.get(kSoon), (std::vector{1, 2}));
}

TEST_P(Faithful, ImapTellsAnErrorAtItsPlaceAndGoesOn) {
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

TEST_P(Faithful, ImapInChunksEndsWithTheFirstError) {
  Pool pool(with(2));
  auto results = pool.imap<int>("five_fails", up_to(12), 3);  // chunks 0 to 2, 3 to 5, 6 to 8, 9 to 11
  for (int i = 0; i < 3; ++i) EXPECT_EQ(results.next(), i);
  EXPECT_THROW(results.next(), std::runtime_error);
  EXPECT_EQ(results.next(), std::nullopt);
}

TEST_P(Faithful, ImapTellsOfAFailureWhileOthersStillRun) {
  Pool pool(with(2));
  auto results = pool.imap_unordered<int>("wait_for_flag", std::vector{1});
  auto failing = pool.imap<int>("five_fails", std::vector{5});
  EXPECT_THROW(failing.next(kSoon), std::runtime_error);
  seen()[1] = 1;
  EXPECT_EQ(results.next(kSoon), 1);
}

TEST_P(Faithful, NextWithATimeoutLosesNothingAndNeedsChunksOf1) {
  Pool pool(with(1));
  auto results = pool.imap<int>("wait_for_flag", std::vector{1, 2});
  EXPECT_THROW(results.next(20ms), TimeoutError);
  seen()[1] = seen()[2] = 1;
  EXPECT_EQ(results.next(kSoon), 1);
  EXPECT_EQ(results.next(kSoon), 2);
  EXPECT_THROW(pool.imap<int>("square", up_to(4), 2).next(kSoon), std::logic_error);
}

TEST_P(Faithful, AnErrorOfTheInputComesAfterWhatWasReadBefore) {
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
}

TEST_P(Faithful, ArgumentsThatCannotBeEncodedFailTheirCallOnly) {
  Pool pool(with(1));
  EXPECT_THROW(pool.apply_async<int>("square", std::tuple(tasks::Superstitious{13})).get(kSoon), MessageError);
  const std::vector<tasks::Superstitious> items{{1}, {13}, {2}};
  EXPECT_THROW(pool.map_async<int>("square", items, 1).get(kSoon), MessageError);
  EXPECT_EQ(pool.apply<int>("square", 3), 9);
}

TEST_P(Faithful, AResultThatCannotBeEncodedIsAnErrorThatSaysSo) {
  Pool pool(with(1));
  try {
    pool.apply<tasks::Superstitious>("thirteen", 13);
    FAIL();
  } catch (const MaybeEncodingError& error) {
    EXPECT_NE(std::string(error.what()).find("13 is not sent"), std::string::npos);
  }
  EXPECT_EQ(pool.apply<tasks::Superstitious>("thirteen", 12).x, 12);
}

TEST_P(Faithful, ARemoteErrorKeepsItsTypeAndSaysWhereItCameFrom) {
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

TEST_P(Faithful, AResultCanBeAskedAndWaitedFor) {
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

TEST_P(Faithful, CallbacksRunInTheHandlersThreadBeforeTheResultIsReady) {
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

TEST_P(Faithful, MapCallsBackOnceWithTheWholeListOrTheErrorAfterAllChunks) {
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

TEST_P(Faithful, StatesAreKept) {
  Pool pool(with(1));
  EXPECT_THROW(pool.join(), std::logic_error);  // Pool is still running
  const auto last = pool.map_async<int>("square", up_to(50), 1);
  pool.close();
  EXPECT_THROW(pool.apply<int>("square", 1), NotRunning);
  EXPECT_THROW(pool.map<int>("square", std::vector<int>()), NotRunning);
  EXPECT_THROW(pool.imap<int>("square", up_to(1)), NotRunning);
  EXPECT_TRUE(pool.join(kSoon));
  EXPECT_EQ(last.get(0ms).size(), 50u);  // close does what was submitted
}

TEST_P(Faithful, TheInitializerRunsFirstInEveryWorker) {
  Options options = with(2);
  options.initializer = "initialize";
  options.initargs = encode(42);
  Pool pool(options);
  EXPECT_EQ(pool.map<int>("initial_value", up_to(8), 1), std::vector<int>(8, 42));
}

TEST_P(Faithful, ATaskPerChildIsAChunk) {
  Options options = with(2);
  options.tasks_per_child = 1;
  Pool one(options);
  const auto by_chunk = one.map<std::string>("worker_name", up_to(20), 5);
  EXPECT_EQ(std::set(by_chunk.begin(), by_chunk.end()).size(), 4u);
  options.tasks_per_child = 2;
  Pool two(options);
  std::map<std::string, int> tasks;
  for (int i = 0; i < 20; ++i) ++tasks[two.apply<std::string>("worker_name", i)];
  for (const auto& [name, count] : tasks) EXPECT_LE(count, 2) << name;
  EXPECT_GE(tasks.size(), 10u);
}

TEST_P(Faithful, OptionsAreChecked) {
  Options options = with(-1);
  EXPECT_THROW(Pool{options}, std::invalid_argument);
  options = with(1);
  options.tasks_per_child = 0;
  EXPECT_THROW(Pool{options}, std::invalid_argument);
  options = with(0);
  cpu_set_t cpus;
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  EXPECT_EQ(Pool(options).size(), CPU_COUNT(&cpus));
}

TEST_P(Faithful, WorkersHaveNamesAndLeavingTheScopeEndsThem) {
  std::vector<pid_t> pids;
  {
    Pool pool(with(2));
    const auto names = pool.map<std::string>("worker_name", up_to(4), 1);
    for (const std::string& name : names)
      EXPECT_TRUE(name.starts_with(GetParam() == Vehicle::processes ? "ForkPoolWorker-" : "Thread-")) << name;
    if (GetParam() == Vehicle::processes) {
      pids = pool.pids();
      pool.apply_async<int>("sleep_ms", std::tuple(60'000));
    }
  }
  for (const pid_t pid : pids) EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }));
}

TEST_P(Faithful, AChunkNeverWaitsBehindALongOneWhileAWorkerIsIdle) {
  Pool pool(with(2));
  pool.map<int>("square", up_to(1000), 1);  // many short ones: several are now sent at a time
  std::vector<int> flags(40, 2);
  flags[10] = 1;
  auto results = pool.imap_unordered<int>("wait_for_flag", flags);
  seen()[2] = 1;
  for (int i = 0; i < 39; ++i) EXPECT_EQ(results.next(kSoon), 2);
  EXPECT_THROW(results.next(10ms), TimeoutError);
  seen()[1] = 1;
  EXPECT_EQ(results.next(kSoon), 1);
}

TEST_P(Faithful, ArgumentsAndResultsOf16MiB) {
  Pool pool(with(2));
  const std::string large(16 << 20, 'x');
  const auto results = pool.map<std::string>("echo", std::vector(4, large), 1);
  for (const std::string& result : results) EXPECT_TRUE(result == large);
  EXPECT_TRUE(pool.map<std::string>("echo", std::vector(3, large), 3).back() == large);
}

TEST_P(Faithful, AMillionTasksInBoundedMemory) {
  rusage before{}, after{};
  Pool pool(with(2));
  const auto items = up_to(1'000'000);
  ::getrusage(RUSAGE_SELF, &before);
  const auto results = pool.map<int>("echo_number", items, 1);
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_TRUE(results == items);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10);  // KiB
}

TEST_P(Faithful, TwoHundredWorkers) {
  Pool pool(with(200));
  EXPECT_EQ(pool.map<int>("echo_number", up_to(1000), 1), up_to(1000));
  pool.close();
  EXPECT_TRUE(pool.join(kSoon));
}

TEST_P(Faithful, ManyCallersAtOnce) {
  Pool pool(with(2));
  std::vector<std::jthread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 8; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 100; ++i) wrong += pool.apply<int>("subtract", 1000 * caller, i) != 1000 * caller - i;
    });
  }
  callers.clear();
  EXPECT_EQ(wrong, 0);
}

// While one worker sleeps, chunks are given to it and taken back more often than it has places in the shared memory.
TEST(ProcessPool, ASleepingWorkerLosesNothing) {
  Pool pool(with(2));
  for (int round = 0; round < 20; ++round) {
    pool.map<int>("square", up_to(1000), 1);
    const pid_t sleeper = pool.pids()[0];
    ::kill(sleeper, SIGSTOP);
    std::vector<AsyncResult<int>> results;
    for (int i = 0; i < 500; i += 2) {
      results.push_back(pool.apply_async<int>("square", std::tuple(i)));
      results.push_back(pool.apply_async<int>("square", std::tuple(i + 1)));
      for (const Deadline wait = Clock::now() + 10us; Clock::now() < wait;) {
      }
    }
    ::kill(sleeper, SIGCONT);
    for (int i = 0; i < 500; ++i) ASSERT_EQ(results[i].get(kSoon), i * i);
  }
}

TEST(ProcessPool, ATaskCannotStartProcesses) {
  Pool pool(with(1));
  EXPECT_THROW(pool.apply<int>("pool_in_a_task", 1), std::logic_error);
}

TEST(ProcessPool, WhenAWorkerCannotBeStartedNoneIsLeft) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit low{60, limit.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &low);
  EXPECT_THROW(Pool(with(100)), std::system_error);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  Pool pool(with(1));
  EXPECT_EQ(pool.apply<int>("square", 2), 4);
}

// Idle workers read end-of-file; busy ones die with the nursery, which reads it too.
TEST(ProcessPool, NothingIsLeftWhenTheParentIsKilled) {
  auto [reader, writer] = make_pipe();
  const pid_t parent = fork_child();
  if (parent == 0) {
    leave([&, out = writer.get()] {
      Pool pool({.processes = 3});
      const auto busy = pool.apply_async<int>("sleep_ms", std::tuple(60'000));
      const auto pids = pool.pids();
      write_all(out, std::as_bytes(std::span(pids)));
      busy.wait(kSoon);
    });
  }
  writer.reset();
  std::array<pid_t, 3> workers{};
  ASSERT_EQ(read_full(reader.get(), std::as_writable_bytes(std::span(workers))), sizeof workers);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  for (const pid_t pid : workers) EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; })) << pid;
}

}  // namespace
}  // namespace lab::pool
