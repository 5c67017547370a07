// How a child process begins, ends, and is waited for.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>

namespace lab {

/// Writes out what stdout and stderr hold, and touches nothing when that is nothing: fflush(nullptr) locks every stream, so
/// that a forked child copies their pages.
[[gnu::hot]] void flush_output();

/// Forks a child that dies with the calling thread, with the default disposition for the signals a lab handles. Returns
/// its pid in the parent and 0 in the child. The child must end by leave(). Flushes the output first. Throws
/// std::system_error.
[[gnu::hot]] pid_t fork_child();

/// Runs body in a forked child and ends it by _exit: 0 when body returns, 1 when it throws (its sentence goes to
/// stderr). The only way a child of ours ends: no exit handler of the parent runs twice, no buffer is flushed twice.
template <class Body>  // as it is: to wrap it in a std::function the child would have to allocate, and copy the page
[[noreturn]] void leave(const Body& body) noexcept {
  int status = 0;
  try {
    body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    status = 1;
  }
  flush_output();
  ::_exit(status);
}

/// waitpid, whatever signals come meanwhile.
pid_t wait_for_child(pid_t pid, int* status = nullptr, int flags = 0);

/// "signal 9 (Killed)" or "status 3" for what waitpid reported.
std::string describe_status(int status);

}  // namespace lab
