// Why each worker of our pools has a pipe of its own. CPython's workers share one pipe, and take turns by a lock that
// is held over the whole blocking read. Whoever is killed while it waits there takes the lock with it, and no worker
// ever reads again.
#pragma once

#include <poll.h>
#include <semaphore.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <ctime>
#include <vector>

#include "common/os/mapping.hpp"
#include "common/os/team.hpp"

namespace lab::pool {

/// Workers that square numbers. Forked by the calling thread, which must be the process's only one.
class SharedPipePool {
 public:
  explicit SharedPipePool(int workers) {
    ::sem_init(&reading_->lock, /* shared between processes */ 1, 1);
    for (int i = 0; i < workers; ++i) {
      const pid_t pid = fork_child();
      if (pid == 0) leave([this] { work(); });
      workers_.push_back(pid);
    }
  }
  ~SharedPipePool() {
    for (const pid_t pid : workers_) ::kill(pid, SIGKILL), wait_for_child(pid);
  }
  SharedPipePool(const SharedPipePool&) = delete;
  SharedPipePool& operator=(const SharedPipePool&) = delete;

  void put(int task) const { write_all(tasks_.second.get(), std::as_bytes(std::span(&task, 1))); }
  /// The next result; 0 when there is none before the deadline.
  int get(Deadline deadline) const {
    int result = 0;
    if (wait_for(results_.first.get(), POLLIN, deadline))
      read_full(results_.first.get(), std::as_writable_bytes(std::span(&result, 1)));
    return result;
  }
  /// Kills the worker that waits for the next task. False when none does before the deadline.
  bool kill_the_reader(Deadline deadline) const {
    while (reading_->pid == 0) {
      if (Clock::now() > deadline) return false;
    }
    const pid_t reader = reading_->pid;
    ::kill(reader, SIGKILL);
    siginfo_t ended{};
    return ::waitid(P_PID, static_cast<id_t>(reader), &ended, WEXITED | WNOWAIT) == 0;
  }

 private:
  struct Reading {
    sem_t lock;
    std::atomic<pid_t> pid{0};  // who is inside
  };

  void work() {
    for (int task = 0;;) {
      while (::sem_wait(&reading_->lock) != 0) {
      }
      reading_->pid = ::getpid();
      const std::size_t n =
          read_full(tasks_.first.get(), std::as_writable_bytes(std::span(&task, 1)));  // the lock is held here
      reading_->pid = 0;
      ::sem_post(&reading_->lock);
      if (n < sizeof task) return;
      const int square = task * task;
      write_all(results_.second.get(), std::as_bytes(std::span(&square, 1)));
    }
  }

  Shared<Reading> reading_;
  std::pair<Descriptor, Descriptor> tasks_ = make_pipe(), results_ = make_pipe();
  std::vector<pid_t> workers_;
};

}  // namespace lab::pool
