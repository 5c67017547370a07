// CPython's Pool: order, errors, and each of its traps. What hangs does so in a child that is killed at its deadline.
#include "pool.hpp"

#include <fstream>

#include "common/multiprocessing/pool/test_pools.hpp"
#include "common/os/test_child.hpp"

namespace lab::faithful {
namespace {

using namespace pool;  // the tasks and what waits for them; Pool is named in full
using Faithful = faithful::Pool;

class Pools : public BothVehicles {};
INSTANTIATE_TEST_SUITE_P(Faithful, Pools, ::testing::Values(Vehicle::processes, Vehicle::threads), vehicle_name);

std::vector<int> squares_up_to(int n) {
  std::vector<int> squares;
  for (const int x : up_to(n)) squares.push_back(x * x);
  return squares;
}

TEST_P(Pools, EightMethodsKeepTheirOrder) {
  Faithful pool(with(3));
  EXPECT_EQ(pool.apply<int>("subtract", 7, 3), 4);
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(3)).get(kSoon), 9);
  for (const std::ptrdiff_t chunk : {1, 7, 100})
    EXPECT_EQ(pool.map<int>("square", up_to(100), chunk), squares_up_to(100));
  EXPECT_EQ(pool.map_async<int>("square", up_to(100)).get(kSoon), squares_up_to(100));
  const std::vector<std::tuple<int, int>> pairs{{5, 1}, {9, 2}, {7, 7}};
  EXPECT_EQ(pool.starmap<int>("subtract", pairs), (std::vector{4, 7, 0}));
  EXPECT_EQ(pool.starmap_async<int>("subtract", pairs, 2).get(kSoon), (std::vector{4, 7, 0}));
  for (const std::ptrdiff_t chunk : {1, 3}) {
    std::vector<int> got;
    for (const int x : pool.imap<int>("square", up_to(20), chunk)) got.push_back(x);
    EXPECT_EQ(got, squares_up_to(20));
  }
  auto results = pool.imap_unordered<int>("wait_for_flag", std::vector{1, 2});
  seen()[2] = 1;
  EXPECT_EQ(results.next(kSoon), 2);
  seen()[1] = 1;
  EXPECT_EQ(results.next(kSoon), 1);
  EXPECT_EQ(results.next(kSoon), std::nullopt);
}

TEST_P(Pools, ErrorsAreToldWhereCPythonTellsThem) {
  Faithful pool(with(4));
  EXPECT_THROW(pool.map_async<int>("fail_on", up_to(40), 10).get(kSoon), std::out_of_range);  // the first to arrive
  for (int i = 0; i < 40; ++i) EXPECT_EQ(seen()[i], i <= 5 || (i >= 10 && i <= 25) || i >= 30) << i;
  auto results = pool.imap<int>("five_fails", up_to(7));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(results.next(kSoon), i);
  EXPECT_THROW(results.next(kSoon), std::runtime_error);
  EXPECT_EQ(results.next(kSoon), 6);
  EXPECT_THROW(pool.apply_async<int>("square", std::tuple(tasks::Superstitious{13})).get(kSoon), MessageError);
  EXPECT_THROW(pool.apply<tasks::Superstitious>("thirteen", 13), MaybeEncodingError);
  EXPECT_THROW(pool.apply<int>("custom_error", 1), tasks::Custom);
  EXPECT_THROW(pool.imap<int>("square", up_to(3), 0), std::invalid_argument);
  const auto broken = [n = 0]() mutable { return n < 1 ? std::optional(n++) : throw std::length_error("input"); };
  auto input_fails = pool.imap<int>("square", broken);
  EXPECT_EQ(input_fails.next(kSoon), 0);
  EXPECT_THROW(input_fails.next(kSoon), std::length_error);
}

TEST_P(Pools, CallbacksInitializerAndTasksPerChild) {
  Options options = with(2);
  options.initializer = "initialize", options.initargs = encode(42), options.tasks_per_child = 2;
  Faithful pool(options);
  EXPECT_EQ(pool.map<int>("initial_value", up_to(8), 1), std::vector<int>(8, 42));
  std::map<std::string, int> tasks;
  for (int i = 0; i < 20; ++i) ++tasks[pool.apply<std::string>("worker_name", i)];
  for (const auto& [name, count] : tasks) EXPECT_LE(count, 2) << name;
  std::atomic<int> sum{0}, errors{0};
  const Callbacks<std::vector<int>> callbacks{.callback = [&](const auto& all) { sum += all[2]; },
                                              .error_callback = [&](auto) { ++errors; }};
  pool.map_async<int>("square", up_to(3), 1, callbacks).wait(kSoon);
  pool.map_async<int>("odd_fails", up_to(3), 1, callbacks).wait(kSoon);
  EXPECT_EQ(sum, 4);
  EXPECT_EQ(errors, 1);
}

TEST_P(Pools, StatesAreKept) {
  Faithful pool(with(2));
  EXPECT_THROW(pool.join(), std::logic_error);  // Pool is still running
  const auto last = pool.map_async<int>("square", up_to(500), 1);
  pool.close();
  EXPECT_THROW(pool.apply<int>("square", 1), NotRunning);
  pool.join();
  EXPECT_EQ(last.get(0ms), squares_up_to(500));
  pool.terminate();
}

TEST_P(Pools, ArgumentsOfAMegabyteAndEachSizeOfPool) {
  for (const int workers : {1, 2, 8}) {
    Faithful pool(with(workers));
    const std::string large(1 << 20, 'x');
    for (const auto& text : pool.map<std::string>("echo", std::vector(5, large), 2)) EXPECT_TRUE(text == large);
    pool.map_async<std::string>("echo", std::vector(20, large), 1);  // leaves the task pipe full
  }
}

// ---- The traps that do not hang.

TEST_P(Pools, TrapAChunkSizeBelow1RunsNothing) {
  Faithful pool(with(1));
  EXPECT_EQ(pool.map<int>("mark", std::vector{7, 8}, 0), (std::vector{0, 0}));
  EXPECT_EQ(pool.map<int>("mark", std::vector{7, 8}, -1), (std::vector{0, 0}));
  EXPECT_EQ(seen()[7], 0);
}

TEST_P(Pools, TrapImapReadsItsWholeInput) {
  Faithful pool(with(1));
  auto results = pool.imap<int>(
      "echo_number", [n = 0]() mutable { return n < 2000 ? (++seen()[1], std::optional(n++)) : std::nullopt; });
  EXPECT_TRUE(eventually([] { return seen()[1] == 2000; }));
}

TEST_P(Pools, TrapAnInitializerThatFailsIsTriedWithoutEnd) {
  Options options = with(2);
  options.initializer = "initializer_fails", options.initargs = encode(9);
  Faithful pool(options);
  EXPECT_TRUE(eventually([] { return seen()[9] > 30; }));
}

TEST(Traps, AWorkerForEachCpuWhateverTheQuota) {
  EXPECT_EQ(static_cast<int>(Faithful().pids().size()), allowed_cpus());
}

// ---- The traps that hang.

// Whether `body`, in a child, comes to the line where it says so and no further.
template <class Body>
::testing::AssertionResult hangs(Body body) {
  constexpr int kThere = 4000;
  seen()[kThere] = 0;
  const pid_t child = start_child([&] { body([] { seen()[kThere] = 1; }); });
  const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  const bool there = eventually([] { return seen()[kThere] == 1; });
  const bool ended = wait_for(handle.get(), POLLIN, Clock::now() + kHangs);
  ::kill(child, SIGKILL);
  const std::string end = end_of(child);
  if (!there) return ::testing::AssertionFailure() << "it did not come that far: " << end;
  if (ended) return ::testing::AssertionFailure() << "it went on: " << end;
  return ::testing::AssertionSuccess();
}
using Here = void (*)();
void want(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

TEST_P(Pools, TrapOfAWorkerThatLeavesNobodyIsTold) {
  for (const char* task : {"leaves", "throws_number"}) {
    EXPECT_TRUE(hangs([&](Here here) {
      Faithful pool(with(1));
      const auto lost = pool.apply_async<int>(task, std::tuple(3));
      want(pool.apply<std::string>("worker_name", 1).back() == '2', "it was not replaced");
      here();
      lost.get();
    })) << task;
  }
}

TEST(Traps, ATaskOfAKilledWorkerIsLostAndJoinWaitsForIt) {
  for (const bool join : {false, true}) {
    EXPECT_TRUE(hangs([&](Here here) {
      Faithful pool(with(1));
      const auto lost = pool.apply_async<int>("kill_self", std::tuple(SIGKILL));
      want(pool.apply<int>("square", 3) == 9, "the others do not go on");
      here();
      if (!join) lost.get();
      pool.close(), pool.join();
    }));
  }
}

// Its only worker sleeps: so it waits for a task, and holds the lock.
void kill_the_reader(Faithful& pool) {
  want(pool.apply<int>("square", 3) == 9, "a wrong answer");
  const pid_t reader = pool.pids().front();
  want(eventually([&] {
         std::ifstream stat("/proc/" + std::to_string(reader) + "/stat");
         std::string pid, name, state;
         stat >> pid >> name >> state;
         return state == "S";
       }),
       "it does not wait");
  ::kill(reader, SIGKILL);
  want(eventually([&] { return pool.pids().front() != reader; }), "it is not replaced");
}

TEST(Traps, AKilledReaderTakesTheLockWithIt) {
  EXPECT_TRUE(hangs([](Here here) {
    Faithful pool(with(1));
    kill_the_reader(pool);
    here();
    pool.apply<int>("square", 4);
  }));
  EXPECT_TRUE(hangs([](Here here) {  // and then a pool cannot even be ended
    Faithful pool(with(1));
    kill_the_reader(pool);
    here();
    pool.terminate();
  }));
}

TEST_P(Pools, TrapWhatThrowsInTheResultHandlerEndsAllResults) {
  const auto bad_callback = [](Faithful& pool) {
    pool.apply_async<int>("square", std::tuple(2), {.callback = [](int) { throw std::runtime_error("bad callback"); }});
  };
  const auto unreadable_error = [](Faithful& pool) { pool.apply_async<int>("unreadable_error", std::tuple(1)); };
  const auto another_type = [](Faithful& pool) { pool.apply_async<std::string>("square", std::tuple(3)); };
  for (const std::function<void(Faithful&)>& spoil :
       std::vector<std::function<void(Faithful&)>>{bad_callback, unreadable_error, another_type}) {
    EXPECT_TRUE(hangs([&](Here here) {
      Faithful pool(with(1));
      spoil(pool);
      here();
      pool.apply<int>("square", 3);
    }));
    Faithful pool(with(1));
    spoil(pool);
    const auto later = pool.apply_async<int>("square", std::tuple(3));
    EXPECT_THROW(later.get(kHangs), TimeoutError);
    EXPECT_THROW(pool.terminate(), std::logic_error);  // Cannot have cache with result handler not alive
  }
}

TEST_P(Pools, TrapWhatIsPendingAtTerminateStaysSo) {
  EXPECT_TRUE(hangs([&](Here here) {
    Faithful pool(with(1));
    const auto pending = pool.map_async<int>("wait_for_flag", std::vector{1, 2}, 1);
    pool.terminate();
    here();
    pending.get();
  }));
}

}  // namespace
}  // namespace lab::faithful
