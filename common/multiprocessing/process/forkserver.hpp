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
//
// Neither trusts the other: what arrives is a message or it is refused, and nobody waits for the rest of one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "common/multiprocessing/process/process.hpp"
#include "common/os/children.hpp"
#include "common/os/packet.hpp"

namespace lab::start {

/// Descriptors that can go with one request: the kernel passes one more, which is the client's socket.
inline constexpr std::size_t kMostDescriptors = kMostPassed - 1;

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

  /// Forks a worker that runs the order. `descriptors` stay ours; the worker gets copies, in that order. Safe from any
  /// thread; returns when the worker has been forked. To let go of what it returns, or to die, kills the worker; when the
  /// server is lost its exit code is 255. Throws UnknownEntry here, before anything is sent; std::invalid_argument for
  /// too many descriptors; std::system_error when the server is lost (EPIPE), cannot fork (EAGAIN) or gives no answer
  /// within 10 s (ETIMEDOUT).
  std::unique_ptr<Child> start(const Order& order, std::span<const int> descriptors) const;

  pid_t server() const { return server_.pid(); }

 private:
  ChildProcess server_;
  Descriptor requests_;
};

/// The server's whole life: forks on request until the request socket reads end-of-file, which means that no client is
/// left, or the process with this pidfd, if one is given, has ended; then kills and reaps its workers. Ignores SIGINT:
/// Ctrl-C is for the client to handle. Must have one thread.
[[gnu::hot]] void serve_forks(Descriptor requests, Descriptor client = {});

struct Request {
  std::vector<Descriptor> descriptors;
  bool end = false;  ///< end-of-file: no client is left
  int error = 0;  ///< for the client: EMFILE when not all descriptors found room here, EBADMSG for what is no request
};
/// The server takes the next packet, whatever it holds.
Request receive_request(int socket);

/// The client waits for the first answer on the worker's socket. Throws std::system_error with the errno in it; ETIMEDOUT
/// once the deadline has passed; for no answer, EPIPE when the server at the other end of `requests` is gone and EMFILE
/// when it lives, for then it had no room for our socket, or we none for the pidfd; EBADMSG for a number that is neither
/// pid nor errno.
std::unique_ptr<Child> receive_child(Descriptor socket, int requests, Deadline deadline);

}  // namespace lab::start
