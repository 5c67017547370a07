// How pools live and end beside whatever else a program does: forks, threads that come and go, callbacks that let go of
// the pool, finalizers that take their time.
#include <sys/wait.h>

#include <cstdlib>
#include <future>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/os/test_child.hpp"
#include "test_pools.hpp"

namespace lab::pool {
namespace {

class Lifetimes : public BothVehicles {};
INSTANTIATE_TEST_SUITE_P(Pool, Lifetimes, ::testing::Values(Vehicle::processes, Vehicle::threads), vehicle_name);

// In a forked child a failed expectation is its exit status.
void want(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}
// How a child ended, which must be soon.
std::string soon_end_of(pid_t child) {
  const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!wait_for(handle.get(), POLLIN, Clock::now() + kSoon)) ::kill(child, SIGKILL);
  return end_of(child);
}
double seconds_of(const std::function<void()>& body) {
  const auto begin = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// ---- Forks. A child has a copy of the pool, but none of its threads; and of its locks as they were.

TEST_P(Lifetimes, AForkedCopyOfAPoolEndsAndHarmsNobody) {
  auto pool = std::make_unique<Pool>(with(1));
  const auto pending = pool->apply_async<int>("wait_for_flag", std::tuple(1));
  const auto ready = pool->apply_async<int>("square", std::tuple(3), {});
  auto stream = std::make_optional(pool->imap<int>("square", up_to(1000)));
  const auto refused = [](const auto& call) {
    try {
      call();
    } catch (const NotRunning&) {
      return true;
    }
    return false;
  };
  const pid_t leaves_scope = start_child([&] {
    want(refused([&] { pool->apply<int>("square", 3); }), "it took a task");
    want(refused([&] { pool->terminate(); }), "it terminated");
    want(refused([&] { pending.get(); }), "it waits");
    stream.reset();
    pool.reset();
  });
  EXPECT_EQ(soon_end_of(leaves_scope), "status 0");
  const pid_t exits = start_child([&] {
#ifdef __SANITIZE_ADDRESS__  // its leak check, last of all, would look for stacks of threads that are not here
    ::on_exit([](int status, void*) { ::_exit(status); }, nullptr);
#endif
    static auto global = std::move(pool);  // as a program's one pool often is: destroyed by exit()
    std::exit(6);
  });
  EXPECT_EQ(soon_end_of(exits), "status 6");
  seen()[1] = 1;
  EXPECT_EQ(pending.get(kSoon), 1);
  EXPECT_EQ(ready.get(kSoon), 9);
  EXPECT_EQ(pool->apply_async<int>("square", std::tuple(4)).get(kSoon), 16);
}

// Forks while the pool's threads are hard at work, so that some copies are made with a lock taken.
TEST(Fork, AtAnyMomentOfThePoolsWork) {
  Pool pool(with(2));
  std::atomic<bool> over{false};
  std::jthread busy([&] {
    while (!over) pool.map<int>("square", up_to(200), 1);
  });
  for (int i = 0; i < 100; ++i) {
    auto results = pool.imap<int>("square", up_to(20));
    const auto pending = pool.map_async<int>("square", up_to(50), 1);
    const pid_t copy = start_child([&] {
      pending.ready();  // may throw: what then?
    });
    const std::string end = soon_end_of(copy);
    EXPECT_TRUE(end == "status 0" || end == "status 1") << end;  // ready, or not to be had here
    EXPECT_EQ(pending.get(kSoon).size(), 50u);
  }
  over = true;
}

TEST_P(Lifetimes, APoolEndsAtOnceThoughAForkedChildHoldsItsDescriptors) {
  for (const bool terminate : {false, true}) {
    auto pool = std::make_unique<Pool>(Options{.processes = 2, .vehicle = GetParam()});  // with a nursery of its own
    pool->apply<int>("square", 2);
    const pid_t bystander = start_child([] {
      while (true) ::pause();
    });
    EXPECT_LT(seconds_of([&] {
                terminate ? pool->terminate() : pool->close();
                EXPECT_TRUE(pool->join(kSoon));
                pool.reset();
              }),
              5);
    ::kill(bystander, SIGKILL), end_of(bystander);
  }
}

// ---- Threads.

TEST_P(Lifetimes, APoolOutlivesTheThreadThatMadeIt) {
  std::unique_ptr<Pool> pool;
  std::thread([&] { pool = std::make_unique<Pool>(Options{.processes = 2, .vehicle = GetParam()}); }).join();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(pool->apply_async<int>("sleep_ms", std::tuple(2)).get(kSoon), 2);
    ASSERT_EQ(pool->apply_async<int>("square", std::tuple(i)).get(kSoon), i * i);
  }
  if (GetParam() == Vehicle::threads) return;
  EXPECT_THROW(pool->apply_async<int>("kill_self", std::tuple(SIGKILL)).get(kSoon), WorkerLost);
  EXPECT_EQ(pool->apply_async<int>("square", std::tuple(3)).get(kSoon), 9);  // by one that was forked later
}

TEST_P(Lifetimes, TheLastOwnerMayLetGoInACallback) {
  auto pool = std::make_shared<Pool>(with(1));
  std::promise<void> gone;
  const auto result = pool->apply_async<int>("square", std::tuple(3), {.callback = [&](int) {
                                               pool.reset();
                                               gone.set_value();
                                             }});
  ASSERT_EQ(gone.get_future().wait_for(kSoon), std::future_status::ready);
  EXPECT_EQ(result.get(kSoon), 9);
}

TEST_P(Lifetimes, AndInItsInput) {
  auto pool = std::make_shared<Pool>(with(1));
  std::promise<void> gone;
  std::optional<Results<int>> results = pool->imap<int>("square", [&, n = 0]() mutable -> std::optional<int> {
    if (n == 1) {
      pool.reset();
      gone.set_value();
    }
    return n++;
  });
  ASSERT_EQ(gone.get_future().wait_for(kSoon), std::future_status::ready);
  results.reset();
}

std::mutex owner;
std::shared_ptr<Pool> owned_by_its_task;
int let_go(int x) {
  std::shared_ptr<Pool> last;
  const std::lock_guard lock(owner);  // until apply_async has returned, which needs the pool
  last.swap(owned_by_its_task);
  return x;
}
const bool known = register_task("let_go", let_go);
TEST(ThreadPool, AndInATask) {
  std::unique_lock lock(owner);
  owned_by_its_task = std::make_shared<Pool>(with(1, Vehicle::threads));
  const auto result = owned_by_its_task->apply_async<int>("let_go", std::tuple(3));
  lock.unlock();
  result.wait(kSoon);
  EXPECT_TRUE(result.ready());
  lock.lock();
  EXPECT_EQ(owned_by_its_task, nullptr);
}

// Whatever the nursery does, callers go on.
TEST(StoppedNursery, KeepsNobodyWaiting) {
  start::Nursery nursery;
  Pool pool({.processes = 2, .tasks_per_child = 1, .nursery = &nursery});
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(3)).get(kSoon), 9);  // a worker has to be replaced now
  ::kill(nursery.server(), SIGSTOP);
  std::vector<AsyncResult<int>> pending;
  EXPECT_LT(seconds_of([&] {
              for (int i = 0; i < 20; ++i) {
                pending.push_back(pool.apply_async<int>("square", std::tuple(i)));
                pool.pids();
                pending.back().wait(10ms);
              }
            }),
            5);
  ::kill(nursery.server(), SIGCONT);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(pending[i].get(kSoon), i * i);
}

// ---- The end.

int saves_at_exit(int ms) {
  start::at_process_exit(5, [ms] {
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    ++seen()[1];
  });
  return ms;
}
const bool known_too = register_task("saves_at_exit", saves_at_exit);
TEST(Close, LetsWorkersEndByThemselves) {
  seen()[1] = 0;
  {
    Pool pool(with(1));
    pool.apply<int>("saves_at_exit", 3000);
    pool.close();
    EXPECT_TRUE(pool.join(kSoon));
  }
  EXPECT_EQ(seen()[1], 1);
  Options options = with(1);
  options.tasks_per_child = 1;
  Pool pool(options);
  for (int i = 0; i < 3; ++i) pool.apply<int>("saves_at_exit", 50);
  EXPECT_TRUE(eventually([] { return seen()[1] == 4; }));
}

int ignores_sigterm(int flag) {
  std::signal(SIGTERM, SIG_IGN);
  ++seen()[flag];
  while (true) ::pause();
}
const bool known_three = register_task("ignores_sigterm", ignores_sigterm);
TEST(Terminate, EndsAWorkerThatIgnoresSigterm) {
  seen()[2] = 0;
  Pool pool(with(1));
  const auto pending = pool.apply_async<int>("ignores_sigterm", std::tuple(2));
  ASSERT_TRUE(eventually([] { return seen()[2] > 0; }));
  EXPECT_LT(seconds_of([&] { pool.terminate(); }), 20);
  EXPECT_THROW(pending.get(kSoon), Terminated);
  EXPECT_TRUE(pool.pids().empty());
}

// ---- Names and times.

int another(int x) { return -x; }
struct Other : std::runtime_error {
  using std::runtime_error::runtime_error;
};
TEST(Names, ASecondFunctionOfThatNameIsRefused) {
  EXPECT_THROW(register_task("square", another), std::invalid_argument);
  EXPECT_TRUE(register_task("square", tasks::square));  // the same once more
  EXPECT_THROW(register_error<Other>("Custom"), std::invalid_argument);
}

template <class Unit>
void wait_long(Pool& pool, Unit time) {
  EXPECT_EQ(pool.apply_async<int>("sleep_ms", std::tuple(30)).get(time), 30);
  EXPECT_EQ(pool.imap<int>("sleep_ms", std::vector{30}).next(time), 30);
}
TEST(Timeouts, AsLongAsItTakesInAnyUnit) {
  Pool pool(with(1));
  wait_long(pool, std::chrono::nanoseconds::max());
  wait_long(pool, std::chrono::seconds::max());
  wait_long(pool, std::chrono::hours::max());
  wait_long(pool, std::chrono::hours(24 * 365 * 400));
  wait_long(pool, std::chrono::duration<double>(1e300));
  wait_long(pool, std::chrono::duration<double>(std::numeric_limits<double>::infinity()));
  for (const double nothing : {-1.0, -1e300, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THROW(pool.apply_async<int>("sleep_ms", std::tuple(30)).get(std::chrono::duration<double>(nothing)),
                 TimeoutError);
  pool.close();
  EXPECT_TRUE(pool.join(std::chrono::seconds::max()));
}

}  // namespace
}  // namespace lab::pool
