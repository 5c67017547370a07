// A pool's workers: how many, what they start with, when they are replaced, how they and the pool end.
#include <sys/wait.h>

#include "test_pools.hpp"

namespace lab::pool {
namespace {

class Workers : public BothVehicles {};
INSTANTIATE_TEST_SUITE_P(Pool, Workers, ::testing::Values(Vehicle::processes, Vehicle::threads), vehicle_name);

TEST_P(Workers, TheInitializerRunsFirstInEveryWorker) {
  Options options = with(2);
  options.initializer = "initialize";
  options.initargs = encode(42);
  Pool pool(options);
  EXPECT_EQ(pool.map<int>("initial_value", up_to(8), 1), std::vector<int>(8, 42));
}

TEST_P(Workers, HaveTheCpusTheyAreGiven) {
  const std::vector<int> allowed = bound_to();
  Options options = with(3);
  options.cpus = {allowed.front(), allowed.back()};
  Pool pool(options);
  ASSERT_TRUE(pool.wait_until_ready(kSoon));
  std::map<std::string, std::vector<int>> seen;
  for (int tries = 0; tries < 2000 && seen.size() < 3; ++tries) {
    for (const auto& [worker, cpus] : pool.map<tasks::Place>("place", up_to(9), 1)) seen[worker] = cpus;
  }
  std::vector<int> places;
  for (const auto& [worker, cpus] : seen) places.insert(places.end(), cpus.begin(), cpus.end());
  std::vector<int> expected{allowed.front(), allowed.back(), allowed.front()};
  std::sort(places.begin(), places.end()), std::sort(expected.begin(), expected.end());
  EXPECT_EQ(places, expected);
}

TEST_P(Workers, ThatCannotHaveTheirCpuBreakThePool) {
  Options options = with(1);
  options.cpus = {8000};
  Pool pool(options);
  EXPECT_TRUE(eventually([&] {
    try {
      pool.apply_async<int>("square", std::tuple(2)).get(kSoon);
    } catch (const NotRunning& error) {
      return std::string(error.what()).find("8000") != std::string::npos;
    }
    return false;
  }));
}

TEST_P(Workers, ATaskPerChildIsAChunk) {
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
  EXPECT_LE(tasks.size(), 11u);  // one of the two may have had but one
}

TEST_P(Workers, OptionsAreChecked) {
  Options options = with(-1);
  EXPECT_THROW(Pool{options}, std::invalid_argument);
  options = with(1);
  options.tasks_per_child = 0;
  EXPECT_THROW(Pool{options}, std::invalid_argument);
  options = with(0);
  EXPECT_THROW(Pool{options}, std::invalid_argument);
  options = with(1);
  options.initializer = "no such task";
  EXPECT_THROW(Pool{options}, std::invalid_argument);
}

TEST_P(Workers, HasAWorkerForEachCpuItMayUse) {
  Options options = with(1);
  options.processes.reset();
  cpu_set_t all, one;
  ::sched_getaffinity(0, sizeof all, &all);
  const int size = Pool(options).size();
  EXPECT_TRUE(size >= 1 && size <= CPU_COUNT(&all));  // a quota may grant less
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  EXPECT_EQ(Pool(options).size(), 1);
  ::sched_setaffinity(0, sizeof all, &all);
  ::setenv("PYTHON_CPU_COUNT", "1", 1);
  EXPECT_EQ(Pool(options).size(), 1);
  ::unsetenv("PYTHON_CPU_COUNT");
}

TEST_P(Workers, WorkersHaveNamesAndLeavingTheScopeEndsThem) {
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

TEST_P(Workers, AChunkNeverWaitsBehindALongOneWhileAWorkerIsIdle) {
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

TEST_P(Workers, ArgumentsAndResultsOf16MiB) {
  Pool pool(with(2));
  const std::string large(16 << 20, 'x');
  const auto results = pool.map<std::string>("echo", std::vector(2, large), 1);
  for (const std::string& result : results) EXPECT_TRUE(result == large);
  EXPECT_TRUE(pool.map<std::string>("echo", std::vector(2, large), 2).back() == large);
}

TEST_P(Workers, AMillionTasksInBoundedMemory) {
  rusage before{}, after{};
  Pool pool(with(2));
  const auto items = up_to(1'000'000);
  ::getrusage(RUSAGE_SELF, &before);
  const auto results = pool.map<int>("echo_number", items, 1);
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_TRUE(results == items);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10);  // KiB
}

TEST_P(Workers, TwoHundredWorkers) {
  Pool pool(with(200));
  EXPECT_EQ(pool.map<int>("echo_number", up_to(1000), 1), up_to(1000));
  pool.close();
  EXPECT_TRUE(pool.join(kSoon));
}

TEST_P(Workers, ManyCallersAtOnce) {
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
  EXPECT_THROW(pool.apply<None>("process_in_a_task", 1), TaskError);
}

// Its pipes are shared with the parent: a task written by a child would be answered in the parent.
TEST(ProcessPool, BelongsToTheProcessThatMadeIt) {
  Pool pool(with(1));
  const pid_t child = fork_child();
  if (child == 0) {
    leave([&] {
      try {
        pool.apply_async<int>("square", std::tuple(2));
      } catch (const NotRunning&) {
        return;
      }
      throw std::runtime_error("it took the task");
    });
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  tasks::of_the_parent = &pool;
  {
    Pool another({.processes = 1});  // its nursery is forked now, and its workers see the first
    EXPECT_THROW(another.apply_async<int>("submit_to_the_parents_pool", std::tuple(2)).get(kSoon), TaskError);
  }
  tasks::of_the_parent = nullptr;
  EXPECT_EQ(pool.apply<int>("square", 3), 9);
}

TEST(ThreadPool, TerminateDoesNotWaitForATaskLeavingTheScopeDoes) {
  seen()[1] = seen()[2] = 0;
  {
    Pool pool(with(1, Vehicle::threads));
    const auto running = pool.apply_async<int>("wait_for_flag", std::tuple(1));
    pool.apply_async<int>("mark", std::tuple(2));
    EXPECT_THROW(running.get(20ms), TimeoutError);
    pool.terminate();
    EXPECT_TRUE(pool.join(kSoon));
    EXPECT_THROW(running.get(kSoon), Terminated);
    seen()[1] = 1;
  }
  EXPECT_EQ(seen()[2], 0);
}

TEST(ThreadPool, ATaskMaySubmitToItsOwnPool) {
  Pool pool(with(2, Vehicle::threads));
  tasks::of_the_parent = &pool;
  EXPECT_EQ(pool.apply_async<int>("submit_to_the_parents_pool", std::tuple(5)).get(kSoon), 25);
  tasks::of_the_parent = nullptr;
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
