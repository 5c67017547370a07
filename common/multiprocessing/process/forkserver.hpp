// A small process with one thread that forks workers for a large one with many.
//
// Each request is one packet on a Unix socket: a byte and up to 253 descriptors (SCM_RIGHTS). The first of them is a
// socket of the worker's own: on it the server answers with the pid and, when the worker has ended, its status; from
// its other half the worker reads what to do. So a request never blocks the server, and any thread, or forked child,
// may send one without a lock.
//
//    client ── request: 1 byte, descriptors ──> server          server ── fork ──> worker
//    client ── order: entry, argument ────────────────────────────────────────────> worker
//    client <── pid and pidfd, later exit code ── server
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/multiprocessing/process/worker.hpp"
#include "common/os/children.hpp"
#include "common/os/descriptor.hpp"

namespace lab::start {

/// A worker that the server forked for us: its child, not ours, so that we hear of its end by a message and not from
/// wait. Letting go of it, or dying, kills the worker.
struct Forked {
  pid_t pid = 0;
  Descriptor sentinel;  ///< readable (poll) once the worker has ended, or its server has
  Descriptor pidfd;     ///< to signal it: its number may be given away, for it is not ours to reap

  /// Waits for the worker's end: its exit status, -N for signal N, 255 when the server was lost; none once the deadline
  /// has passed. The answer stays on the sentinel.
  std::optional<int> exit_code(Deadline deadline) const;
};

/// The server, from the client's side. Its destructor, like the client's death, ends the server and kills what it
/// forked, whoever else holds the socket; that of a copy made by fork only lets go. Workers die with the server, whatever
/// kills it. The thread that made it may end: it is the process that the server looks to.
class Nursery {
 public:
  /// Forks the server from this process, before any thread starts (it warns on stderr when there are some): its workers
  /// see the memory as it is now, and shared mappings made until now. They inherit no descriptor but 0 to 2. Throws
  /// std::system_error.
  Nursery();
  /// Takes a server that was started some other way (exec'ed), and our end of its request socket.
  Nursery(ChildProcess server, Descriptor requests) : server_(std::move(server)), requests_(std::move(requests)) {}
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;
  ~Nursery();

  /// Forks a worker that runs the entry of that name. `descriptors` stay ours; the worker gets copies, in that order.
  /// Safe from any thread; returns when the worker has been forked. Throws UnknownEntry here, before anything is sent;
  /// std::invalid_argument for too many descriptors; std::system_error when the server is lost (EPIPE), cannot fork
  /// (EAGAIN) or gives no answer within 10 s (ETIMEDOUT). `name` is for reports.
  Forked start(const std::string& entry, std::string_view argument = "", std::span<const int> descriptors = {},
               std::string name = "") const;
  Forked start(const Order& order, std::span<const int> descriptors) const;

  pid_t server() const { return server_.pid(); }

 private:
  ChildProcess server_;
  Descriptor requests_;
};

/// The server's whole life: forks on request until the request socket reads end-of-file, which means that no client is
/// left, or the process with this pidfd, if one is given, has ended; then kills and reaps its workers. Ignores SIGINT:
/// Ctrl-C is for the client to handle. Must have one thread.
[[gnu::hot]] void serve_forks(Descriptor requests, Descriptor client = {});

}  // namespace lab::start
