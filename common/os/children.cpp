#include "common/os/children.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace lab {

pid_t wait_for_child(pid_t pid, int* status, int flags) {
  pid_t ended = 0;
  do {
    ended = ::waitpid(pid, status, flags);
  } while (ended < 0 && errno == EINTR);
  return ended;
}

std::string describe_exit(int exit_code) {
  if (exit_code == ChildProcess::kStatusLost) return "a status that somebody else has taken (is SIGCHLD ignored?)";
  return exit_code < 0 ? fmt::format("signal {} ({})", -exit_code, ::strsignal(-exit_code))
                       : fmt::format("status {}", exit_code);
}

Descriptor open_pidfd(pid_t pid) {
  Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!handle) throw_errno(fmt::format("cannot watch process {}", pid));
  return handle;
}

void send_signal(const Descriptor& pidfd, int signal) {
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

ChildProcess::ChildProcess(pid_t pid) : pid_(pid), parent_(::getpid()) {
  try {
    handle_ = open_pidfd(pid);
  } catch (...) {  // nobody has reaped it yet, so the number is still its own
    ::kill(pid, SIGKILL);
    wait_for_child(pid);
    throw;
  }
}

ChildProcess::~ChildProcess() {
  if (!handle_ || code_ || !ours()) return;
  send_signal(SIGKILL);
  siginfo_t ended;
  while (::waitid(P_PIDFD, static_cast<id_t>(handle_.get()), &ended, WEXITED) < 0 && errno == EINTR) continue;
}

void ChildProcess::swap(ChildProcess& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(parent_, other.parent_);
  std::swap(handle_, other.handle_);
  std::swap(code_, other.code_);
}

bool ChildProcess::ours() const { return parent_ == ::getpid(); }

void ChildProcess::send_signal(int signal) const {
  if (handle_ && !code_ && ours()) lab::send_signal(handle_, signal);
}

std::optional<int> ChildProcess::wait(Deadline deadline) {
  if (code_) return code_;
  if (!handle_ || !ours()) return std::nullopt;
  siginfo_t ended{};
  int failed = 0;
  do {  // one system call where it has ended, or there is no deadline
    failed = ::waitid(P_PIDFD, static_cast<id_t>(handle_.get()), &ended, WEXITED | (deadline == Deadline::max() ? 0 : WNOHANG));
    if (failed == 0 && ended.si_pid == 0 && !wait_for(handle_.get(), POLLIN, deadline)) return std::nullopt;
  } while ((failed < 0 && errno == EINTR) || (failed == 0 && ended.si_pid == 0));
  if (failed < 0 && errno != ECHILD) throw_errno("cannot learn how a child ended");
  code_ = failed < 0 ? kStatusLost : ended.si_code == CLD_EXITED ? ended.si_status : -ended.si_status;
  return code_;
}

void flush_output() {
  if (__fpending(stdout) > 0) std::fflush(stdout);
  if (__fpending(stderr) > 0) std::fflush(stderr);
}

pid_t fork_child(bool dies_with_thread) {
  flush_output();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("cannot fork a worker");
  if (pid == 0) {
    // Each 64 KiB of text or tables that the child uses it has to map first, which costs more than ten system calls: so
    // no loop over a table of signals, and system calls by their number, for that is one function of the C library.
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    std::signal(SIGHUP, SIG_DFL);
    if (!dies_with_thread) return pid;
    // The parent may have died before prctl was reached: then no signal will ever come, and the pid tells.
    ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
  }
  return pid;
}

}  // namespace lab
