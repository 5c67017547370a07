// For tests of what the compiler made: counts instructions rather than time, so that a busy machine cannot fail them.
#pragma once

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace lab {

/// Instructions that a forked child executes in body(), counted by single steps, plus a constant; -1 where tracing is
/// forbidden, and under a sanitizer, whose own instructions would count. What body returns is used, lest the compiler drop
/// what it is for. Steps cost microseconds: keep it short.
template <class Body>
long instructions([[maybe_unused]] const Body& body) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return -1;
#else
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    [[maybe_unused]] const volatile auto used = body();
    ::_exit(0);
  }
  long steps = 0;
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) return -1;
  while (WIFSTOPPED(status)) {
    ++steps;
    if (::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? steps : -1;
#endif
}

}  // namespace lab
