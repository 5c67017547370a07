// How a child process begins, ends, and is waited for.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "common/os/descriptor.hpp"

namespace lab {

/// Writes out what stdout and stderr hold, and touches nothing when that is nothing: fflush(nullptr) locks every stream, so
/// that a forked child copies their pages.
[[gnu::hot]] void flush_output();

/// Forks a child, with the default disposition for the signals a lab handles. Returns its pid in the parent and 0 in the
/// child, which must end by leave(). It dies with the calling thread, for so the kernel understands a parent's death,
/// unless it is to find out by itself that nobody needs it. Flushes the output first. Throws std::system_error.
[[gnu::hot]] pid_t fork_child(bool dies_with_thread = true);

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

/// "signal 9 (Killed)" or "status 3" for an exit code as Python has it: the status, or minus the signal; also for
/// ChildProcess::kStatusLost.
std::string describe_exit(int exit_code);

/// A child of this process, known by its pidfd: a number may be another process's once somebody has reaped the child.
/// Killed and reaped with this object, unless it has ended before. A copy that fork has made of it is nobody's parent:
/// it signals and waits for nothing.
class ChildProcess {
 public:
  static constexpr int kStatusLost = 256;  ///< no exit code: somebody else has reaped it (SIGCHLD ignored, perhaps)

  ChildProcess() = default;
  /// Takes over a child just started. Throws std::system_error when there is no pidfd to be had; then the child is gone.
  explicit ChildProcess(pid_t pid);
  ChildProcess(ChildProcess&& other) noexcept { swap(other); }
  ChildProcess& operator=(ChildProcess&& other) noexcept {
    ChildProcess(std::move(other)).swap(*this);
    return *this;
  }
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  int sentinel() const { return handle_.get(); }  ///< readable (poll) once it has ended; stays so
  bool ours() const;                              ///< this process has started it
  void send_signal(int signal) const;             ///< nothing happens to one that has ended
  /// Its exit code; none when it has not ended by the deadline. Throws std::system_error.
  std::optional<int> wait(Deadline deadline = Deadline::max());
  void let_go() { handle_.reset(); }  ///< it may outlive this object

 private:
  void swap(ChildProcess& other) noexcept;
  pid_t pid_ = 0, parent_ = 0;
  Descriptor handle_;
  std::optional<int> code_;
};

/// A pidfd of any process that is there. Throws std::system_error.
Descriptor open_pidfd(pid_t pid);
/// Signals through a pidfd, which never hits another process that has the number now.
void send_signal(const Descriptor& pidfd, int signal);

}  // namespace lab
