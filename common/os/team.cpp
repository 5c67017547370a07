#include "common/os/team.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include "common/os/futex.hpp"
#include "common/os/mapping.hpp"

namespace lab {
namespace {

std::int64_t now_ns(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return t.tv_sec * std::int64_t{1'000'000'000} + t.tv_nsec;
}

// All meet here: the last to arrive opens it for everybody.
class Gate {
 public:
  // Calls `idle` while it waits for the others (spinning teams), or sleeps. Throws once the deadline has passed.
  void pass(int size, bool spin, Deadline deadline, const std::function<void()>& idle = {}) {
    if (arrived_.fetch_add(1) + 1 == static_cast<std::uint32_t>(size)) {
      open_.store(1);
      futex_wake(open_);
      return;
    }
    while (open_.load() == 0) {
      if (Clock::now() > deadline) throw WorkerError("the other workers did not arrive before the deadline");
      if (!spin) {
        futex_wait(open_, 0, deadline);
      } else if (idle) {
        idle();
      }
    }
  }

 private:
  FutexWord arrived_{0}, open_{0};
};

struct Slot {
  Report report;
  char error[200];  // the sentence of what the work threw, cut to fit
};

struct Stage {
  Gate start, ready, work, end;
};

void work_in(const Team& team, int worker, Stage& stage, Slot& slot, Deadline deadline,
             std::function<std::uint64_t(int)> work) {
  try {
    if (team.prepare) team.prepare(worker);
    Report& report = slot.report;
    stage.start.pass(team.size, false, deadline);
    if (team.frame) report.before = team.frame(true);
    stage.ready.pass(team.size, team.spin, deadline, [&] {
      if (team.frame) report.before = team.frame(false);
    });
    stage.work.pass(team.size, team.spin, deadline);  // nothing to do while waiting: all start within a microsecond

    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    const long switches = usage.ru_nivcsw;
    report.first_cpu = ::sched_getcpu();
    report.begin = now_ns(CLOCK_MONOTONIC);
    const std::int64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    report.answer = work(worker);
    report.cpu = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    report.end = now_ns(CLOCK_MONOTONIC);
    report.last_cpu = ::sched_getcpu();
    ::getrusage(RUSAGE_THREAD, &usage);
    report.involuntary_switches = usage.ru_nivcsw - switches;

    if (team.frame) report.after = team.frame(false);
    if (team.spin) stage.end.pass(team.size, true, deadline);
  } catch (const std::exception& error) {
    std::snprintf(slot.error, sizeof slot.error, "%s", *error.what() ? error.what() : "unnamed error");
    throw;
  }
}

// Kills what still runs and reaps it, whatever path leaves the scope.
struct Children {
  std::vector<pid_t> pids;
  std::vector<Descriptor> handles;  // pidfds: readable once the child has ended
  ~Children() {
    for (const pid_t pid : pids) {
      if (pid > 0) ::kill(pid, SIGKILL);
    }
    for (const pid_t pid : pids) {
      if (pid > 0) ::waitpid(pid, nullptr, 0);
    }
  }
};

void run_processes(const Team& team, Stage& stage, const SharedArray<Slot>& slots, Deadline deadline,
                   const std::function<std::uint64_t(int)>& work) {
  Children children;
  for (int worker = 0; worker < team.size; ++worker) {
    const pid_t pid = fork_child();
    if (pid == 0) {
      leave([&] {
        try {
          work_in(team, worker, stage, slots[worker], deadline, work);
        } catch (const std::exception&) {
          ::_exit(1);  // the parent says why: the slot holds the sentence
        }
      });
    }
    children.pids.push_back(pid);
    children.handles.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!children.handles.back()) throw_errno("cannot watch a worker");
  }
  std::vector<pollfd> polls;
  for (const Descriptor& handle : children.handles) polls.push_back({handle.get(), POLLIN, 0});
  for (int running = team.size; running > 0;) {
    const auto left = deadline - Clock::now();
    const int ready = left <= left.zero() ? 0 : ::poll(polls.data(), polls.size(), static_cast<int>(left / std::chrono::milliseconds(1)) + 1);
    if (ready < 0 && errno != EINTR) throw_errno("cannot wait for the workers");
    if (ready == 0) throw WorkerError(fmt::format("{} of {} workers missed the deadline", running, team.size));
    for (int worker = 0; ready > 0 && worker < team.size; ++worker) {
      if (polls[worker].fd < 0 || polls[worker].revents == 0) continue;
      polls[worker].fd = -1;  // poll skips it from now on
      const pid_t pid = std::exchange(children.pids[worker], 0);
      int status = 0;
      ::waitpid(pid, &status, 0);
      --running;
      if (status == 0) continue;
      const char* said = slots[worker].error;
      throw WorkerError(*said ? fmt::format("worker {} (pid {}): {}", worker, pid, said)
                              : fmt::format("worker {} (pid {}) ended with {}", worker, pid, describe_status(status)));
    }
  }
}

void run_threads(const Team& team, Stage& stage, const SharedArray<Slot>& slots, Deadline deadline,
                 const std::function<std::uint64_t(int)>& work) {
  FutexWord finished{0};
  std::vector<std::jthread> threads;
  for (int worker = 0; worker < team.size; ++worker) {
    threads.emplace_back([&, worker] {
      try {
        work_in(team, worker, stage, slots[worker], deadline, work);
      } catch (const std::exception&) {
      }  // its sentence is in the slot
      finished.fetch_add(1);
      futex_wake(finished);
    });
  }
  for (std::uint32_t done; (done = finished.load()) < static_cast<std::uint32_t>(team.size);) {
    if (Clock::now() > deadline) {
      std::fprintf(stderr, "%u of %d worker threads missed the deadline; a thread cannot be killed, so the program ends\n",
                   team.size - done, team.size);
      ::_exit(1);
    }
    futex_wait(finished, done, deadline);
  }
  threads.clear();
  for (int worker = 0; worker < team.size; ++worker) {
    if (*slots[worker].error) throw WorkerError(fmt::format("worker {}: {}", worker, slots[worker].error));
  }
}

}  // namespace

std::string describe_status(int status) {
  if (WIFSIGNALED(status)) return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return fmt::format("status {}", WEXITSTATUS(status));
}

pid_t fork_child() {
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("cannot fork a worker");
  if (pid == 0) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
    // The parent may have died before prctl was reached: then no signal will ever come, and the pid tells.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
  }
  return pid;
}

void leave(const std::function<void()>& body) {
  int status = 0;
  try {
    body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    status = 1;
  }
  std::fflush(nullptr);
  ::_exit(status);
}

std::vector<Report> run_team(const Team& team, const std::function<std::uint64_t(int)>& work) {
  if (team.size < 1) throw std::invalid_argument("a team needs at least one worker");
  const Shared<Stage> stage;
  const SharedArray<Slot> slots(static_cast<std::size_t>(team.size));
  const Deadline deadline = Clock::now() + team.deadline;
  (team.vehicle == Vehicle::processes ? run_processes : run_threads)(team, *stage, slots, deadline, work);
  std::vector<Report> reports;
  for (const Slot& slot : slots) reports.push_back(slot.report);
  return reports;
}

}  // namespace lab
