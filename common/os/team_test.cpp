#include "common/os/team.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <thread>

#include "common/os/mapping.hpp"
#include "common/os/test_child.hpp"

namespace {

using namespace lab;
using Pids = SharedArray<std::atomic<pid_t>>;

#ifdef __SANITIZE_THREAD__
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

[[noreturn]] void wait_for_ever() {
  for (;;) ::pause();
}

// The sentence of the WorkerError that the team ended with.
std::string error_of(const Team& team, const std::function<std::uint64_t(int)>& work) {
  try {
    run_team(team, work);
  } catch (const WorkerError& error) {
    return error.what();
  }
  return "no error";
}

std::int64_t monotonic() { return Clock::now().time_since_epoch().count(); }

class Teams : public testing::TestWithParam<Vehicle> {
 protected:
  Team team(int size, bool spin = false) const { return {.size = size, .vehicle = GetParam(), .spin = spin}; }
};
INSTANTIATE_TEST_SUITE_P(Team, Teams, testing::Values(Vehicle::processes, Vehicle::threads),
                         [](const auto& test) { return test.param == Vehicle::processes ? "processes" : "threads"; });

TEST_P(Teams, ReportsComeInTheWorkersOrderWithTheirAnswers) {
  const auto reports = run_team(team(5), [](int worker) { return static_cast<std::uint64_t>(100 + worker); });
  ASSERT_EQ(reports.size(), 5u);
  for (std::size_t i = 0; i < reports.size(); ++i) EXPECT_EQ(reports[i].answer, 100 + i);
}

TEST_P(Teams, WorkStartsOnceAllAreReadyAndItsTimesAreWithin) {
  for (const bool spin : {false, true}) {
    Team spec = team(3, spin);
    const SharedArray<std::atomic<std::int64_t>> prepared(3);
    spec.prepare = [&](int worker) {
      if (worker == 2) std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the others must wait for it
      prepared[worker] = monotonic();
    };
    spec.frame = [&](bool patient) {
      for (const auto& when : prepared) {
        if (when == 0) return -1.0;  // measured while others were still being started
      }
      return patient ? 1.0 : 2.0;
    };
    const std::int64_t before = monotonic();
    const auto reports = run_team(spec, [](int) {
      volatile std::uint64_t sum = 0;
      for (std::uint64_t i = 0; i < 1'000'000; ++i) sum = sum + i;
      return sum;
    });
    const std::int64_t after = monotonic();
    for (const Report& report : reports) {
      for (const auto& when : prepared) EXPECT_GE(report.begin, when.load());
      EXPECT_GE(report.begin, before);
      EXPECT_LE(report.begin, report.end);
      EXPECT_LE(report.end, after);
      EXPECT_GT(report.cpu, 0);
      EXPECT_LE(report.cpu, report.end - report.begin + 1'000'000);
      EXPECT_GE(report.before, 1.0);
      EXPECT_EQ(report.after, 2.0);
    }
  }
}

TEST_P(Teams, PrepareSaysWhereAWorkerRuns) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE && cpus.size() < 4; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  Team spec = team(4);
  spec.prepare = [&](int worker) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpus[static_cast<std::size_t>(worker) % cpus.size()], &one);
    if (::sched_setaffinity(0, sizeof one, &one) != 0) throw_errno("cannot bind");
  };
  const auto reports = run_team(spec, [](int) { return 0u; });
  for (std::size_t i = 0; i < reports.size(); ++i) {
    EXPECT_EQ(reports[i].first_cpu, cpus[i % cpus.size()]);
    EXPECT_EQ(reports[i].last_cpu, cpus[i % cpus.size()]);
  }
}

TEST_P(Teams, EachWorkerHasItsOwnCopyOfTheWork) {
  const auto reports = run_team(team(4), [calls = 0u](int) mutable { return ++calls; });
  for (const Report& report : reports) EXPECT_EQ(report.answer, 1u);
}

TEST_P(Teams, TwoHundredWorkersMeet) {
  const Shared<std::atomic<int>> arrived(0);
  const auto reports = run_team(team(200), [&](int worker) {
    ++*arrived;
    return static_cast<std::uint64_t>(worker);
  });
  EXPECT_EQ(*arrived, 200);
  for (std::size_t i = 0; i < reports.size(); ++i) ASSERT_EQ(reports[i].answer, i);
}

// Wherever a worker throws, the others, which wait for it asleep or spinning, end with it.
TEST_P(Teams, TheSentenceOfAWorkerThatThrowsArrives) {
  const auto fail = [](int worker) {
    if (worker == 1) throw std::runtime_error("the sentence");
  };
  const auto nothing = [](int) { return 0u; };
  for (const bool spin : {false, true}) {
    Team in_prepare = team(3, spin), in_frame = team(3, spin);
    in_prepare.prepare = fail;
    const Shared<std::atomic<int>> frames(0);
    in_frame.frame = [&](bool) -> double {
      if ((*frames)++ == 1) throw std::runtime_error("the sentence");
      return 0;
    };
    EXPECT_TRUE(error_of(in_frame, nothing).ends_with(": the sentence"));
    const std::string prepared = error_of(in_prepare, nothing);
    const std::string worked = error_of(team(3, spin), [&](int worker) {
      fail(worker);
      return 0u;
    });
    for (const std::string& said : {prepared, worked}) {
      EXPECT_EQ(said.find(GetParam() == Vehicle::processes ? "worker 1 (pid " : "worker 1: "), 0u) << said;
      EXPECT_TRUE(said.ends_with(": the sentence")) << said;
    }
  }
  EXPECT_TRUE(childless());
}

// As an ordinary user, who may have two more tasks than now.
void allow_two_more_tasks() {
  if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) throw_errno("cannot become nobody");
  rlimit limit{0, 0};
  ::getrlimit(RLIMIT_NPROC, &limit);
  for (limit.rlim_cur = 1;; ++limit.rlim_cur) {
    if (::setrlimit(RLIMIT_NPROC, &limit) != 0) throw_errno("cannot limit the number of tasks");
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    if (pid > 0) break;
  }
  ::wait(nullptr);
  ++limit.rlim_cur;
  ::setrlimit(RLIMIT_NPROC, &limit);
}

TEST_P(Teams, AWorkerThatCannotBeStartedIsAnErrorAndTheOthersEnd) {
  if (kThreadSanitizer && GetParam() == Vehicle::threads)
    GTEST_SKIP() << "the sanitizer ends a program that cannot start a thread";
  EXPECT_EQ(end_of(start_child([&] {
              allow_two_more_tasks();
              std::string said;
              try {
                run_team(team(100), [](int) { return 0u; });
              } catch (const std::system_error& error) {
                said = error.what();
              }
              const std::string worker = GetParam() == Vehicle::processes ? "fork a worker" : "start a worker thread";
              if (said != "cannot " + worker + ": Resource temporarily unavailable")
                throw std::runtime_error("said: " + said);
              if (!childless()) throw std::runtime_error("a worker is left");
            })),
            "status 0");
}

class WorkerThatEnds : public testing::TestWithParam<bool> {};  // true: the others spin

TEST_P(WorkerThatEnds, IsReportedAndTheOthersAreKilled) {
  struct End {
    std::string said;
    std::function<void()> end;
  };
  for (const auto& [ending, end] : {End{"signal 9 (Killed)", [] { ::raise(SIGKILL); }},  //
                                    End{"status 7", [] { ::_exit(7); }},                 //
                                    End{"status 0", [] { ::_exit(0); }}}) {
    const Pids pids(3);
    std::string said;
    const auto work = [&](int worker) -> std::uint64_t {
      pids[worker] = ::getpid();
      if (worker != 1) return GetParam() ? 0 : (wait_for_ever(), 0);
      while (pids[0] == 0 || pids[2] == 0) std::this_thread::yield();
      end();
      return 0;
    };
    said = error_of({.size = 3, .spin = GetParam()}, work);
    EXPECT_EQ(said, "worker 1 (pid " + std::to_string(pids[1]) + ") ended with " + ending);
    EXPECT_TRUE(childless());
    for (const auto& pid : pids) EXPECT_EQ(::kill(pid, 0), -1);
  }
}
INSTANTIATE_TEST_SUITE_P(Team, WorkerThatEnds, testing::Bool());

TEST(Team, ProcessesThatMissTheDeadlineAreKilled) {
  const Pids pids(3);
  const std::string said =
      error_of({.size = 3, .deadline = std::chrono::milliseconds(200)}, [&](int worker) -> std::uint64_t {
        pids[worker] = ::getpid();
        ::signal(SIGTERM, SIG_IGN);
        if (worker > 0) ::raise(SIGSTOP);
        wait_for_ever();
      });
  EXPECT_EQ(said, "3 of 3 workers missed the deadline");
  EXPECT_TRUE(childless());
}

// Whoever started the program may have told the kernel to reap its children itself: then nobody knows how they ended.
TEST(Team, AWorkerWhoseEndIsUnknownHasNotFinished) {
  EXPECT_EQ(end_of(start_child([] {
              std::signal(SIGCHLD, SIG_IGN);
              EXPECT_THROW(run_team({.size = 2}, [](int) { return 0u; }), WorkerError);
              if (testing::Test::HasFailure()) throw std::runtime_error("no error");
            })),
            "status 0");
}

// What a child that ends by its team of threads says on stderr; its status is 1.
std::string last_words(const Team& team, const std::function<std::uint64_t(int)>& work) {
  auto [reader, writer] = make_pipe();
  const pid_t child = start_child([&, fd = writer.get()] {
    ::dup2(fd, STDERR_FILENO);
    error_of(team, work);
    ::_exit(0);
  });
  writer.reset();
  std::string said(10'000, '\0');
  said.resize(read_full(reader.get(), std::as_writable_bytes(std::span(said))));
  EXPECT_EQ(end_of(child), "status 1");
  return said;
}

TEST(Team, ThreadsThatMissTheDeadlineEndTheProgram) {
  const Team team{.size = 2, .vehicle = Vehicle::threads, .deadline = std::chrono::milliseconds(50)};
  const std::string said = last_words(team, [](int worker) -> std::uint64_t {
    if (worker == 0) wait_for_ever();
    return 0;
  });
  EXPECT_EQ(said.find("1 of 2 worker threads missed the deadline"), 0u) << said;
}

// The deadline is an hour; the test would run into its own.
TEST(Team, AThreadThatWorksOnForOneThatThrewEndsTheProgramWithItsSentence) {
  const Team team{.size = 2, .vehicle = Vehicle::threads, .deadline = std::chrono::hours(1)};
  const Shared<std::atomic<bool>> at_work(false);
  const std::string said = last_words(team, [&](int worker) -> std::uint64_t {
    if (worker == 0) {
      *at_work = true;
      wait_for_ever();
    }
    while (!*at_work) std::this_thread::yield();
    throw std::runtime_error("the sentence");
  });
  EXPECT_NE(said.find("worker 1: the sentence"), std::string::npos) << said;
}

TEST(Team, DiesWithItsParent) {
  const Pids pids(3);
  const pid_t parent = start_child([&] {
    run_team({.size = 3}, [&](int worker) -> std::uint64_t {
      pids[worker] = ::getpid();
      wait_for_ever();
    });
  });
  for (const auto& pid : pids) {
    while (pid == 0) std::this_thread::yield();
  }
  ::kill(parent, SIGKILL);
  EXPECT_EQ(end_of(parent), "signal 9 (Killed)");
  for (const auto& pid : pids) EXPECT_TRUE(is_gone(pid));
}

// The child cannot have asked for the death signal yet.
TEST(ForkChild, DiesWithAParentThatDiesAtOnce) {
  auto [reader, writer] = make_pipe();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(end_of(start_child([] {
                if (fork_child() == 0) leave(wait_for_ever);
                ::_exit(3);
              })),
              "status 3");
  }
  writer.reset();
  EXPECT_TRUE(wait_for(reader.get(), POLLIN, soon()));  // end of file: nobody is left who holds the other end
}

TEST(ForkChild, HasTheDefaultSignals) {
  const auto before = std::signal(SIGTERM, SIG_IGN);
  EXPECT_EQ(end_of(start_child([] { ::raise(SIGTERM); })), "signal 15 (Terminated)");
  std::signal(SIGTERM, before);
}

TEST(ForkChild, WritesNothingTwiceAndRunsNoExitHandler) {
  const Descriptor file = make_memfd("output", 8);
  std::FILE* out = ::fdopen(::dup(file.get()), "w");
  std::fputs("once", out);
  EXPECT_EQ(end_of(start_child([] { std::atexit([] { ::_exit(9); }); })), "status 0");
  std::fclose(out);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 4);
}

TEST(Leave, SaysHowTheBodyEnded) {
  EXPECT_EQ(end_of(start_child([] {})), "status 0");
  EXPECT_EQ(end_of(start_child([] {
              ::close(STDERR_FILENO);
              throw std::runtime_error("no");
            })),
            "status 1");
  EXPECT_EQ(end_of(start_child([] {
              ::close(STDERR_FILENO);
              throw 1;  // never up into the code of the parent
            })),
            "signal 6 (Aborted)");
}

}  // namespace
