#include "common/os/team.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <thread>

#include "common/os/clock.hpp"
#include "common/os/futex.hpp"
#include "common/os/mapping.hpp"
#include "common/os/say.hpp"
#include "common/os/timeout.hpp"

namespace lab {
namespace {

// What a worker waiting at the barrier meets when another has failed: nothing to report of its own.
struct Broken : std::exception {};

// All workers meet here, again and again; the last to arrive lets the others go on. Who fails breaks it, lest they wait
// for him. No deadline: whoever started the workers watches it.
class Barrier {
 public:
  // Calls `idle` while it waits for the others (spinning teams), or sleeps.
  void pass(int size, bool spin, const std::function<void()>& idle = {}) {
    const std::uint32_t turn = turn_.load();
    if (turn != kBroken && arrived_.fetch_add(1) + 1 == static_cast<std::uint32_t>(size)) {
      arrived_.store(0);
      turn_.store(turn + 1);
      futex_wake(turn_);
      return;
    }
    for (std::uint32_t now; (now = turn_.load()) == turn || now == kBroken;) {
      if (now == kBroken) throw Broken();
      if (!spin) {
        futex_wait(turn_, turn, Deadline::max());
      } else if (idle) {
        idle();
      }
    }
  }
  // Called by a worker that will not arrive, or for one that never started: so no last arrival can overwrite it.
  void break_up() {
    turn_.store(kBroken);
    futex_wake(turn_);
  }
  bool broken() const { return turn_.load() == kBroken; }

 private:
  static constexpr std::uint32_t kBroken = UINT32_MAX;
  FutexWord arrived_{0}, turn_{0};
};

// Nanoseconds the calling thread has waited for a CPU while it could have run: the second number of proc(5)'s schedstat.
// Below 0 where the kernel does not account (it then reads zero, or is not there).
std::int64_t waited_for_cpu() {
  const Descriptor file(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  std::array<char, 100> text{};
  if (!file || ::read(file.get(), text.data(), text.size() - 1) <= 0) return -1;
  char* rest = nullptr;
  return std::strtoll(text.data(), &rest, 10) > 0 ? std::strtoll(rest, nullptr, 10) : -1;
}

struct Slot {
  Report report;
  bool finished;    // false for a worker that left by exit() in the middle of its work, however good its status
  char error[200];  // the sentence of what the work threw, cut to fit
};

// Returns whether the worker finished.
bool work_in(const Team& team, int worker, Barrier& barrier, Slot& slot, std::function<std::uint64_t(int)> work) {
  try {
    if (team.prepare) team.prepare(worker);
    Report& report = slot.report;
    barrier.pass(team.size, false);  // all have started
    if (team.frame) report.before = team.frame(true);
    barrier.pass(team.size, team.spin, [&] {
      if (team.frame) report.before = team.frame(false);
    });
    barrier.pass(team.size, team.spin);  // nothing to do while waiting: all start within a microsecond

    const std::int64_t waited = waited_for_cpu();
    report.first_cpu = ::sched_getcpu();
    report.begin = now_ns();
    // A process may have threads of its own at work: a queue's feeder.
    const clockid_t clock = team.vehicle == Vehicle::processes ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID;
    const std::int64_t cpu = now_ns(clock);
    report.answer = work(worker);
    report.cpu = now_ns(clock) - cpu;
    report.end = now_ns();
    report.last_cpu = ::sched_getcpu();
    if (waited >= 0) report.waited = waited_for_cpu() - waited;

    if (team.frame) report.after = team.frame(false);
    if (team.spin) barrier.pass(team.size, true);
    slot.finished = true;
  } catch (const Broken&) {
  } catch (const std::exception& error) {
    std::snprintf(slot.error, sizeof slot.error, "%s", *error.what() ? error.what() : "unnamed error");
  }
  return slot.finished;
}

void run_processes(const Team& team, Barrier& barrier, const SharedArray<Slot>& slots, Deadline deadline,
                   const std::function<std::uint64_t(int)>& work) {
  std::vector<ChildProcess> children;  // those that still run are killed on whatever path this function is left
  for (int worker = 0; worker < team.size; ++worker) {
    const pid_t pid = fork_child();
    if (pid == 0) {
      leave([&] {
        // The parent says why: the slot holds the sentence.
        if (!work_in(team, worker, barrier, slots[worker], work)) ::_exit(1);
      });
    }
    try {
      children.emplace_back(pid);
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::no_such_process) throw;  // SIGCHLD is ignored, perhaps: it is gone already
      throw WorkerError(fmt::format("worker {} (pid {}) ended, and nobody can tell how", worker, pid));
    }
  }
  std::vector<pollfd> polls;
  for (const ChildProcess& child : children) polls.push_back({child.sentinel(), POLLIN, 0});
  for (int running = team.size; running > 0;) {
    const timespec left = time_left(deadline);
    const int ready = ::ppoll(polls.data(), polls.size(), &left, nullptr);
    if (ready < 0 && errno != EINTR) throw_errno("cannot wait for the workers");
    if (ready == 0) throw WorkerError(fmt::format("{} of {} workers missed the deadline", running, team.size));
    for (int worker = 0; ready > 0 && worker < team.size; ++worker) {
      if (polls[worker].fd < 0 || polls[worker].revents == 0) continue;
      polls[worker].fd = -1;  // poll skips it from now on
      --running;
      const std::optional<int> code = children[worker].wait();
      if (code == 0 && slots[worker].finished) continue;
      const char* said = slots[worker].error;
      const pid_t pid = children[worker].pid();
      throw WorkerError(*said ? fmt::format("worker {} (pid {}): {}", worker, pid, said)
                              : fmt::format("worker {} (pid {}) ended with {}", worker, pid, describe_exit(*code)));
    }
  }
}

void run_threads(const Team& team, Barrier& barrier, const SharedArray<Slot>& slots, Deadline deadline,
                 const std::function<std::uint64_t(int)>& work) {
  FutexWord ended{0};
  std::vector<std::jthread> threads;
  try {
    for (int worker = 0; worker < team.size; ++worker) {
      threads.emplace_back([&, worker] {
        if (!work_in(team, worker, barrier, slots[worker], work)) barrier.break_up();
        ended.fetch_add(1);
        futex_wake(ended);
      });
    }
  } catch (const std::system_error& error) {
    barrier.break_up();  // lets those that did start end, and be joined
    throw std::system_error(error.code(), "cannot start a worker thread");
  }
  const auto first_error = [&] {
    for (int worker = 0; worker < team.size; ++worker) {
      if (*slots[worker].error) return fmt::format("worker {}: {}", worker, slots[worker].error);
    }
    return std::string();
  };
  for (std::uint32_t done; (done = ended.load()) < static_cast<std::uint32_t>(team.size);) {
    // Whoever waits for the one that failed outside the barrier, in its own work, is not going to end.
    if (barrier.broken()) deadline = std::min(deadline, Clock::now() + std::chrono::seconds(2));
    if (Clock::now() > deadline) {
      say("{} of {} worker threads missed the deadline; a thread cannot be killed, so the program ends. {}\n",
          team.size - done, team.size, first_error());
      ::_exit(1);
    }
    futex_wait(ended, done, deadline);
  }
  threads.clear();
  if (const std::string error = first_error(); !error.empty()) throw WorkerError(error);
}

}  // namespace

std::vector<Report> run_team(const Team& team, const std::function<std::uint64_t(int)>& work) {
  if (team.size < 1) throw std::invalid_argument("a team needs at least one worker");
  const Shared<Barrier> barrier;
  const SharedArray<Slot> slots(static_cast<std::size_t>(team.size));
  const Deadline deadline = Timeout(team.deadline).deadline();
  (team.vehicle == Vehicle::processes ? run_processes : run_threads)(team, *barrier, slots, deadline, work);
  std::vector<Report> reports;
  for (const Slot& slot : slots) reports.push_back(slot.report);
  return reports;
}

}  // namespace lab
