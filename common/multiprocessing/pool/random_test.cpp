// All eight methods at random, with any size, chunk size, number of workers and limit, against the sequential answer,
// while all CPUs are busy with something else. The seed is printed with a failure.
#include <random>

#include "common/os/test_child.hpp"
#include "test_pools.hpp"

namespace lab::pool {
namespace {

int mixed(int x) {  // most are short, some are not
  if (x % 25 == 24) std::this_thread::sleep_for(std::chrono::milliseconds(x % 3));
  return 3 * x + 1;
}
int sum(int a, int b) { return mixed(a) + b; }
const bool known = register_task("mixed", mixed) && register_task("sum", sum);

struct Dice {
  std::mt19937 random;
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }
  bool coin() { return between(0, 1) == 1; }
};

void once(unsigned seed) {
  Dice dice{std::mt19937(seed)};
  Options options = with(dice.between(1, 4), dice.coin() ? Vehicle::processes : Vehicle::threads);
  if (dice.coin()) options.tasks_per_child = dice.coin() ? dice.between(1, 5) : dice.between(5, 120);
  const int most =
      options.tasks_per_child ? std::min(300, 10 * *options.tasks_per_child) : 300;  // forks take their time
  Pool pool(options);
  for (int call = 0; call < 8; ++call) {
    const auto items = up_to(dice.coin() ? dice.between(0, 10) : dice.between(10, most));
    std::vector<std::tuple<int, int>> pairs;
    std::vector<int> answer, sums;
    for (const int x : items) answer.push_back(3 * x + 1), sums.push_back(3 * x + 1 + 7), pairs.emplace_back(x, 7);
    const int size = dice.coin() ? 1 : dice.between(1, 50);
    const auto asked = dice.coin() ? std::optional<std::ptrdiff_t>(size) : std::nullopt;
    const int method = dice.between(0, 6);
    SCOPED_TRACE("method " + std::to_string(method));
    if (method == 0) {
      ASSERT_EQ(pool.apply_async<int>("mixed", std::tuple(call)).get(kSoon), 3 * call + 1);
    } else if (method == 1) {
      ASSERT_EQ(pool.map_async<int>("mixed", items, asked).get(kSoon), answer);
    } else if (method == 2) {
      ASSERT_EQ(pool.starmap_async<int>("sum", pairs, asked).get(kSoon), sums);
    } else if (method == 3) {  // many at once
      std::vector<AsyncResult<int>> pending;
      for (const int x : items) pending.push_back(pool.apply_async<int>("mixed", std::tuple(x)));
      for (const int x : items) ASSERT_EQ(pending[x].get(kSoon), answer[x]);
    } else if (method == 4) {  // together with another
      const auto other = pool.map_async<int>("mixed", items, 1);
      ASSERT_EQ(pool.map_async<int>("mixed", items, asked).get(kSoon), answer);
      ASSERT_EQ(other.get(kSoon), answer);
    } else {
      auto results = method == 5 ? pool.imap<int>("mixed", items, 1) : pool.imap_unordered<int>("mixed", items, 1);
      std::vector<int> got;
      while (const auto result = results.next(kSoon)) got.push_back(*result);
      if (method == 6) std::sort(got.begin(), got.end());
      ASSERT_EQ(got, answer);
      auto in_chunks = pool.imap<int>("mixed", items, size);  // has no timeout: close() and join() have
      pool.apply_async<int>("mixed", std::tuple(1)).get(kSoon);
      for (const int x : answer) ASSERT_EQ(in_chunks.next(), x);
    }
  }
  pool.close();
  ASSERT_TRUE(pool.join(kSoon));
}

/// Twice as many processes that spin as there are CPUs.
struct Load {
  Load() {
    for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i)
      children.push_back(start_child([] {
        for (volatile unsigned spin = 0;;) spin = spin + 1;
      }));
  }
  ~Load() {
    for (const pid_t pid : children) ::kill(pid, SIGKILL), end_of(pid);
  }
  std::vector<pid_t> children;
};

TEST(Random, AllMethodsAgainstTheSequentialAnswerUnderLoad) {
  const Load load;
  const Deadline end = Clock::now() + 15s;
  for (unsigned seed = 1; seed <= 100 && Clock::now() < end && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_NO_THROW(once(seed));
  }
}

// A worker counts as spent by what it has had, and what was taken back it has not had.
TEST(Random, EveryLimitOfTasksPerChildReturnsAllResults) {
  for (const Vehicle vehicle : {Vehicle::processes, Vehicle::threads}) {
    for (const int workers : {1, 3}) {
      for (const int limit : {1, 5, 20, 100}) {
        Options options = with(workers, vehicle);
        options.tasks_per_child = limit;
        Pool pool(options);
        for (int repeat = 0; repeat < (limit == 1 ? 1 : 8); ++repeat)
          ASSERT_EQ(pool.map_async<int>("mixed", up_to(40), 1).get(kSoon).size(), 40u) << workers << ' ' << limit;
      }
    }
  }
}

}  // namespace
}  // namespace lab::pool
