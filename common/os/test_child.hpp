// Forked children for tests. A failed EXPECT in a child is seen by nobody: it answers by its exit status.
#pragma once

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "common/os/children.hpp"

namespace lab {

/// A deadline no healthy test comes near, however loaded the machine.
inline Deadline soon() { return Clock::now() + std::chrono::seconds(30); }

inline pid_t start_child(const std::function<void()>& body) {
  const pid_t pid = fork_child();
  if (pid == 0) leave(body);
  return pid;
}

/// How the child ended: "status 0", "signal 9 (Killed)".
inline std::string end_of(pid_t child) { return describe_exit(*ChildProcess(child).wait()); }

/// Whether a process, not necessarily a child, is gone soon.
inline bool is_gone(pid_t pid) {
  const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return !handle || wait_for(handle.get(), POLLIN, soon());
}

/// True when this process has no child left, dead or alive.
inline bool childless() { return ::waitpid(-1, nullptr, WNOHANG) < 0; }

}  // namespace lab
