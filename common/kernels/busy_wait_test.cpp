#include "common/kernels/busy_wait.hpp"

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace {

// Instructions from a stop before busy_wait(n) to the exit after it, counted by single steps; -1 where tracing is
// forbidden. Counted rather than timed, so that a busy machine cannot fail the test.
long instructions(std::uint64_t n) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    raise(SIGSTOP);
    _exit(static_cast<int>(lab::busy_wait(n)));
  }
  long steps = 0;
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) return -1;
  while (WIFSTOPPED(status)) {
    ++steps;
    if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? steps : -1;
}

TEST(BusyWait, EndsAtZero) {
  EXPECT_EQ(lab::busy_wait(0), 0u);
  EXPECT_EQ(lab::busy_wait(1'000'000), 0u);
}

TEST(BusyWait, EveryCountIsExecuted) {
  const long few = instructions(128), twice = instructions(256), many = instructions(1280);
  if (few < 0) GTEST_SKIP() << "ptrace is not permitted here";
  EXPECT_GE(twice - few, 128 * 2) << "at least a subtraction and a branch a count";
  EXPECT_EQ(many - few, 9 * (twice - few)) << "the cost must be linear in n";
}

}  // namespace
