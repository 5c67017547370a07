// A system that refuses: no processes, threads or descriptors to spare, calls interrupted, workers killed from outside.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <fstream>

#include "common/os/test_child.hpp"
#include "common/os/test_faults.hpp"
#include "test_pools.hpp"

namespace lab::pool {
namespace {

// In a forked child a failed expectation is its exit status.
void want(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

/// As long as it lives this process gets no further descriptor.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{3, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// The sentence of the NotRunning with which the pool refuses work soon.
std::string why_broken(Pool& pool) {
  std::string sentence;
  eventually([&] {
    try {
      pool.apply_async<int>("square", std::tuple(1)).get(kSoon);
    } catch (const NotRunning& error) {
      sentence = error.what();
    } catch (const std::exception&) {
    }
    return !sentence.empty();
  });
  return sentence;
}

TEST(Construction, LeavesNothingWhereverDescriptorsRunOut) {
  int refused = 0, made = 0;
  for (int spare = 0; spare < 40; spare += 3) {
    const pid_t child = start_child([&] {
      run_out_of_descriptors(spare);
      try {
        Pool pool({.processes = 3});
        want(pool.apply<int>("square", 3) == 9, "a wrong answer");
      } catch (const std::system_error& error) {
        want(error.code().value() == EMFILE, error.what());
        want(childless(), "a process is left");
        ::_exit(3);
      }
      want(childless(), "a process is left");
    });
    const std::string end = end_of(child);
    EXPECT_TRUE(end == "status 0" || end == "status 3") << end;
    ++(end == "status 0" ? made : refused);
  }
  EXPECT_GT(made, 0);
  EXPECT_GT(refused, 0);
}

// Its workers are there when the thread that takes in their replies cannot be started.
TEST(Construction, EndsTheWorkersWhenThereIsNoThreadToBeHad) {
  EXPECT_EQ(end_of(start_child([] {
              for (const Vehicle vehicle : {Vehicle::processes, Vehicle::threads}) {
                start::Nursery nursery;
                const pid_t child = start_child([&] {
                  refuse({SYS_clone, SYS_clone3}, EAGAIN);
                  try {
                    Pool({.processes = 2, .vehicle = vehicle, .nursery = &nursery});
                  } catch (const std::system_error& error) {
                    want(error.code().value() == EAGAIN, error.what());
                    return;
                  }
                  want(false, "a pool without a thread");
                });
                want(end_of(child) == "status 0", "the child failed");
              }
            })),
            "status 0");
}

TEST(Imap, WhoseInputNoThreadCanReadIsRefusedAndForgotten) {
  EXPECT_EQ(end_of(start_child([] {
              Pool pool({.processes = 1});
              refuse({SYS_clone, SYS_clone3}, EAGAIN);
              try {
                pool.imap<int>("square", up_to(3));
                want(false, "an imap without a thread");
              } catch (const std::system_error&) {
              }
              want(pool.apply<int>("square", 3) == 9, "a wrong answer");
              pool.close();
              want(pool.join(kSoon), "join waits for what was refused");
            })),
            "status 0");
}

// What is said on stderr, to be looked at while it is being said.
class Said {
 public:
  Said() { ::dup2(text_.get(), STDERR_FILENO); }
  ~Said() { ::dup2(stderr_.get(), STDERR_FILENO); }
  std::string so_far() const {
    std::string text(10'000, '\0');
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::pread(text_.get(), text.data(), text.size(), 0))));
    return text;
  }

 private:
  const Descriptor text_{::memfd_create("said", MFD_CLOEXEC)}, stderr_{::dup(STDERR_FILENO)};
};

TEST(Replacement, ThatIsRefusedIsTriedAgainWhileTheOthersGoOn) {
  Pool pool(with(2));
  const Said said;
  {
    const NoDescriptors refused;
    EXPECT_THROW(pool.apply_async<int>("kill_self", std::tuple(SIGKILL)).get(kSoon), WorkerLost);
    EXPECT_EQ(pool.pids().size(), 1u);
    EXPECT_EQ(pool.map_async<int>("echo_number", up_to(100), 1).get(kSoon), up_to(100));
    EXPECT_EQ(pool.pids().size(), 1u);
    EXPECT_TRUE(eventually([&] {
      return said.so_far().find("cannot be replaced yet: cannot make a pipe: Too many open files") != std::string::npos;
    })) << said.so_far();
  }
  EXPECT_TRUE(eventually([&] { return pool.pids().size() == 2; }));
  EXPECT_EQ(pool.map_async<int>("echo_number", up_to(100), 1).get(kSoon), up_to(100));
}

TEST(Replacement, ThatIsRefusedUntilNobodyIsLeftBreaksThePoolWithASentence) {
  Pool pool(with(2));
  const NoDescriptors refused;
  const auto pending = pool.map_async<int>("sleep_ms", std::vector(4, 60'000), 1);
  for (const pid_t pid : pool.pids()) ::kill(pid, SIGKILL);
  EXPECT_THROW(pending.get(kSoon), std::runtime_error);
  const std::string sentence = why_broken(pool);
  EXPECT_NE(sentence.find("signal 9"), sentence.npos) << sentence;
  EXPECT_NE(sentence.find("cannot be replaced: cannot make a pipe: Too many open files"), sentence.npos) << sentence;
}

TEST(Replacement, OfAWorkerKilledBeforeItIsReadyTwoHundredTimesInARow) {
  Options options = with(1);
  options.initializer = "wait_for_flag";
  options.initargs = encode(1);
  seen()[1] = 0;
  Pool pool(options);
  const auto results = pool.map_async<int>("echo_number", up_to(50), 1);
  for (int i = 0; i < 200; ++i) {
    const auto pids = pool.pids();
    ::kill(pids[0], SIGKILL);
    ASSERT_TRUE(eventually([&] {
      const auto now = pool.pids();  // one look: between two the worker may go
      return now.size() == 1 && now != pids;
    }));
  }
  seen()[1] = 1;
  EXPECT_EQ(results.get(kSoon), up_to(50));
}

// A copy of this process keeps the pool's descriptors open, also those of a worker that is reaped.
TEST(Replacement, IsNotConfusedByAForkedCopyOfThePool) {
  Pool pool(with(1));
  pool.apply<int>("square", 3);
  const pid_t copy = ::fork();
  if (copy == 0) {
    while (true) ::pause();
  }
  EXPECT_THROW(pool.apply_async<int>("kill_self", std::tuple(SIGKILL)).get(kSoon), WorkerLost);
  ASSERT_TRUE(eventually([&] { return pool.pids().size() == 1; }));
  const auto pids = pool.pids();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pool.apply_async<int>("sleep_ms", std::tuple(1)).get(kSoon), 1);
  EXPECT_EQ(pool.pids(), pids);
  ::kill(copy, SIGKILL);
  ::waitpid(copy, nullptr, 0);
}

TEST(Handler, ThatCannotWaitBreaksThePoolWithASentence) {
  EXPECT_EQ(end_of(start_child([] {
              start::Nursery nursery;
              refuse({SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2}, EINVAL);
              Pool pool({.processes = 1, .nursery = &nursery});
              want(why_broken(pool).find("cannot wait for a pool's workers") != std::string::npos, "no sentence");
            })),
            "status 0");
}

TEST(Interruptions, OfEveryCallLoseNothing) {
  for (const Vehicle vehicle : {Vehicle::processes, Vehicle::threads}) {
    Pool pool(with(2, vehicle));
    const SignalRain rain;
    const std::string large(4 << 20, 'x');
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(pool.apply_async<int>("sleep_ms", std::tuple(5)).get(kSoon), 5);
      EXPECT_EQ(pool.map_async<int>("echo_number", up_to(500), 1).get(kSoon), up_to(500));
      EXPECT_TRUE(pool.apply_async<std::string>("echo", std::tuple(large)).get(kSoon) == large);
      auto results = pool.imap<int>("echo_number", up_to(50));
      for (int n = 0; n < 50; ++n) ASSERT_EQ(results.next(kSoon), n);
      if (vehicle == Vehicle::threads) continue;
      EXPECT_THROW(pool.apply_async<int>("kill_self", std::tuple(SIGKILL)).get(kSoon), WorkerLost);
    }
  }
}

TEST(ThreadPool, JoinsTheThreadsItReplaces) {
  const auto mappings = [] {
    std::ifstream maps("/proc/self/maps");
    return std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
  };
  Options options = with(2, Vehicle::threads);
  options.tasks_per_child = 1;
  Pool pool(options);
  const auto before = mappings();
  EXPECT_EQ(pool.map_async<int>("echo_number", up_to(500), 1).get(kSoon), up_to(500));
  EXPECT_LT(mappings() - before, 100);  // a thread that is not joined keeps its stack and its guard page
}

}  // namespace
}  // namespace lab::pool
