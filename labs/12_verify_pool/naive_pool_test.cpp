#include "naive_pool.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>

#include "common/os/mapping.hpp"

namespace {

using namespace lab;
using namespace lab::verify;

/// Where a task says that it has begun, and in which worker.
std::atomic<pid_t>& at_work() {
  static const Shared<std::atomic<pid_t>> pid(0);
  return *pid;
}
std::uint64_t search_for_hours() {
  at_work() = ::getpid();
  return factor_in({~0ull - 58, 21, 1ull << 32, 100'000});
}
const bool known = pool::register_task("search_for_hours", search_for_hours);

/// Forked before all tests, and so before any thread.
class Home : public testing::Environment {
 public:
  void SetUp() override {
    at_work() = 0;  // made before the workers, who inherit it
    nursery = std::make_unique<start::Nursery>();
  }
  void TearDown() override { nursery.reset(); }
  static inline std::unique_ptr<start::Nursery> nursery;
};
testing::Environment* const home = testing::AddGlobalTestEnvironment(new Home);

TEST(NaivePool, AllThreeWaysAgree) {
  for (const int workers : {1, 3, 64}) {
    pool::Pool pool({.processes = workers, .nursery = Home::nursery.get()});
    for (const std::uint64_t n :
         std::vector<std::uint64_t>{0, 1, 2, 3, 4, 9, 25, 529, 8861, 1000003ull * 1000003, numbers::small_prime,
                                    numbers::small_non_prime_1, numbers::small_non_prime_2}) {
      const Verification v{.n = n, .workers = workers};
      const std::uint64_t factor = serial(v);
      EXPECT_EQ(factor == 0, is_prime(n) || n < 2) << n;
      for (const std::uint64_t by_pool : {naive_pool(pool, v), less_naive_pool(pool, v)}) {
        EXPECT_EQ(by_pool == 0, factor == 0) << n << " by " << workers;
        if (by_pool) {
          EXPECT_TRUE(1 < by_pool && by_pool < n && n % by_pool == 0) << n << " by " << by_pool;
        }
      }
    }
  }
}

TEST(NaivePool, AKilledWorkerIsASentence) {
  pool::Pool pool({.processes = 2, .nursery = Home::nursery.get()});
  auto searching = pool.apply_async<std::uint64_t>("search_for_hours", std::tuple{});
  for (const Deadline deadline = Clock::now() + std::chrono::seconds(20); at_work() == 0 && Clock::now() < deadline;)
    ::sched_yield();
  ASSERT_NE(at_work(), 0);
  ::kill(at_work(), SIGKILL);
  const Deadline killed = Clock::now();
  try {
    searching.get(std::chrono::seconds(10));
    FAIL() << "the search ended without its worker";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("signal 9"), std::string::npos) << error.what();
  }
  EXPECT_LT(Clock::now() - killed, std::chrono::seconds(5));
}

TEST(Composites, MostHaveAFactorUpToNineteen) {
  const Composites small = composites_below(30);  // 2 x, 3 x and 5 x: all 18 of them
  EXPECT_EQ(small.all, 18u);
  EXPECT_EQ(small.with_small_factor, 18u);
  const Composites all = composites_below(10'000'000);
  EXPECT_EQ(all.all, 9'335'419u);
  EXPECT_EQ(all.with_small_factor, 8'289'757u);
}

}  // namespace
