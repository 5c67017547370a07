// multiprocessing.Process: one object for a worker, whichever way it is started; below it the child that is started.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/multiprocessing/process/worker.hpp"
#include "common/os/timeout.hpp"

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
[[gnu::hot]] std::unique_ptr<Child> start_child(Method method, const Order& order, const std::vector<int>& descriptors);

/// The fork server: exec'ed by the first process that needs it, shared by the children it forks afterwards, exec'ed
/// again when it is found dead. Its pid; 0 when there is none.
pid_t fork_server_pid();
/// Lets go of the server, which ends with its last client, and with it whatever it forked that still runs.
void stop_fork_server();

/// A call that makes no sense now: starting twice, joining what was not started, a closed object, somebody else's
/// child.
struct Misuse : std::logic_error {
  using std::logic_error::logic_error;
};

struct ProcessOptions {
  std::string name;     ///< empty: "Process-1", "Process-2" ...
  bool daemon = false;  ///< ended by SIGTERM when its parent ends; may have threads but no children of its own
};

/// A handle, as in Python: when it goes the worker does not. At the end of the starting process daemons are terminated
/// and the others joined; when that is killed, all its workers are. Start from a thread that outlives the worker: a
/// worker started by fork or spawn dies with the thread that started it.
class Process {
 public:
  using Options = ProcessOptions;

  /// Nothing runs yet. `entry` is a registered name. The descriptors are given to the entry as copies, in that order.
  Process(Method method, std::string entry, std::string argument = "", std::vector<int> descriptors = {},
          Options options = {});
  Process(Process&&) noexcept = default;
  Process& operator=(Process&&) noexcept = default;

  /// Throws Misuse when started before, in a daemon, or in a worker that has not reached its entry; UnknownEntry;
  /// std::system_error when the machine refuses.
  void start();
  /// Waits for the end, at most that long. Ask exit_code() which it was. Misuse before start().
  void join(Timeout timeout = std::nullopt);
  /// 0 or what the entry returned, 1 after an error or an interrupt (-2 when that came before a spawned worker's main),
  /// -N after signal N, 255 when a fork server was lost; none while it runs or has not been started.
  std::optional<int> exit_code();
  bool alive();
  void terminate();  ///< SIGTERM
  void kill();       ///< SIGKILL
  void interrupt();  ///< SIGINT
  /// Lets go of it; afterwards every other call is Misuse. Misuse while it runs.
  void close();

  const std::string& name() const;
  pid_t pid() const;     ///< 0 before start()
  int sentinel() const;  ///< for poll: readable once the worker has ended. Misuse before start().

  struct State;  // shared with the list of this process's children

 private:
  friend std::vector<Process> active_children();
  explicit Process(std::shared_ptr<State> state) : state_(std::move(state)) {}
  State& ours() const;
  State& started() const;
  std::shared_ptr<State> state_;
};

/// Workers of this process that still run. Reaps those that have ended, as does every start().
std::vector<Process> active_children();

}  // namespace lab::start
