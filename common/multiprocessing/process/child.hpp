// A worker that has been started, by whichever start method: how to wait for it and how to end it.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/multiprocessing/process/forkserver.hpp"
#include "common/os/descriptor.hpp"

namespace lab::start {

/// fork copies the calling process; spawn runs its executable anew; forkserver asks a small process to fork; thread,
/// for comparison, starts no process at all.
enum class Method { fork, spawn, forkserver, thread };
inline constexpr Method kMethods[] = {Method::fork, Method::spawn, Method::forkserver, Method::thread};
std::string to_string(Method method);

class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  virtual ~Child() = default;
  pid_t pid() const { return pid_; }
  /// Readable (poll) once the child has ended; stays so. Throws std::system_error.
  virtual int sentinel() = 0;
  /// Until the child has ended or the deadline has passed. Several threads may wait.
  void wait(Deadline deadline) { wait_for(sentinel(), POLLIN, deadline); }
  /// The exit code of a child that has ended: status, or minus the signal. Call it until it has answered, and then no
  /// more.
  virtual std::optional<int> take_exit_code() = 0;
  /// Throws std::logic_error for a thread, which cannot be sent one.
  virtual void send_signal(int signal) = 0;

 private:
  pid_t pid_;
};

/// Starts a worker by that method. Descriptors are copied. Throws UnknownEntry before anything is started,
/// std::system_error. With fork, warns on stderr when this process has more than one thread: what they have locked
/// stays locked in the child.
[[gnu::hot]] std::unique_ptr<Child> start_child(Method method, Order order, const std::vector<int>& descriptors);

/// The same by a fork server of the caller's; it must outlive the worker.
std::unique_ptr<Child> start_child(const Nursery& nursery, const Order& order, std::span<const int> descriptors);

/// The fork server: exec'ed by the first process that needs it, shared by the children it forks afterwards, exec'ed
/// again when it is found dead. Its pid; 0 when there is none.
pid_t fork_server_pid();
/// Lets go of the server, which ends with its last client, and with it whatever it forked that still runs.
void stop_fork_server();

}  // namespace lab::start
