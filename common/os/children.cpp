#include "common/os/children.hpp"

#include <fmt/format.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/os/descriptor.hpp"

namespace lab {

pid_t wait_for_child(pid_t pid, int* status, int flags) {
  pid_t ended = 0;
  do {
    ended = ::waitpid(pid, status, flags);
  } while (ended < 0 && errno == EINTR);
  return ended;
}

std::string describe_status(int status) {
  if (WIFSIGNALED(status)) return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return fmt::format("status {}", WEXITSTATUS(status));
}

void flush_output() {
  if (__fpending(stdout) > 0) std::fflush(stdout);
  if (__fpending(stderr) > 0) std::fflush(stderr);
}

pid_t fork_child() {
  flush_output();
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

}  // namespace lab
