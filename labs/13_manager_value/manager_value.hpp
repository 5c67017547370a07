// A value in a server process: what multiprocessing.Manager().Value() comes down to. Nobody shares memory with the
// server; each get and each set is a message to it, and one back.
//
//    worker ── get ──────────> server: its thread for this worker wakes, reads the value
//    worker <── the value ──── server: and sleeps again
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <stdexcept>
#include <thread>

#include "common/multiprocessing/process/worker.hpp"
#include "common/os/children.hpp"
#include "common/os/unix_socket.hpp"

namespace lab::manager_value {

/// A message, either way. Of one size, so that no length has to be believed.
struct Message {
  enum class What : std::uint32_t { get, set, is } what = What::is;  ///< is: the server's answer
  std::uint32_t unused = 0;
  std::int64_t value = 0;
};

inline bool receive(int socket, Message& message) {
  return read_full(socket, std::as_writable_bytes(std::span(&message, 1))) == sizeof message;
}
inline void send(int socket, const Message& message) { write_all(socket, std::as_bytes(std::span(&message, 1))); }

/// A process's way to the value. Made in the process that uses it: two that share one would read each other's answers.
class Connection {
 public:
  explicit Connection(const std::string& path) : socket_(connect_to(path)) {}
  std::int64_t get() { return ask({Message::What::get}).value; }
  void set(std::int64_t value) { ask({Message::What::set, 0, value}); }
  /// TRAP: `value += more` is a get and a set, and what others set in between is lost. CPython's Value in a manager has
  /// no lock at all, whatever its argument says.
  void add(std::int64_t more) { set(get() + more); }

 private:
  Message ask(const Message& request) {
    Message answer;
    send(socket_.get(), request);
    if (!receive(socket_.get(), answer)) throw std::runtime_error("the value's server has ended");
    return answer;
  }
  Descriptor socket_;
};

/// The server's part for one client, on a thread of its own: a client that sends nothing keeps nobody but this thread.
/// Returns when the client has hung up, died, or sent what is no message.
inline void serve_client(const Descriptor& client, std::atomic<std::int64_t>& value) noexcept try {
  for (Message message; receive(client.get(), message);) {
    if (message.what == Message::What::set) {
      value = message.value;
    } else if (message.what != Message::What::get) {
      return;
    }
    send(client.get(), {Message::What::is, 0, value});
  }
} catch (const std::system_error&) {  // it did not wait for its answer
}

/// The server's life: a thread for each client that connects, until `owner` (a pidfd) is readable. TRAP: as many
/// threads as anybody likes to connect; and whoever may open the socket is believed, there is no key. The machine in
/// common/ has a bound and a handshake.
inline void serve(const Descriptor& listener, const Descriptor& owner, std::int64_t initial) {
  static std::atomic<std::int64_t> value;  // the one value; its threads use it until the process ends
  value = initial;
  std::array<pollfd, 2> polls{pollfd{listener.get(), POLLIN, 0}, pollfd{owner.get(), POLLIN, 0}};
  while (polls[1].revents == 0) {
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) throw_errno("the value's server cannot wait");
    if (polls[0].revents == 0) continue;
    Descriptor client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client) std::thread([mine = std::move(client)] { serve_client(mine, value); }).detach();
  }
}

/// A value in a server of its own. The server ends with this object, or with the process that made it, whatever ends
/// that: a socket that has a name outlives its users, so somebody must be there to remove it.
class ValueServer {
 public:
  explicit ValueServer(std::int64_t initial = 0) {
    const Descriptor listener = folder_.listen(), owner = open_pidfd(::getpid());
    const start::HeldSignals held;  // a Ctrl-C before the server ignores it would leave the socket behind
    const pid_t server = fork_child(false);
    if (server == 0) {
      leave([&] {
        std::signal(SIGINT, SIG_IGN);
        std::signal(SIGPIPE, SIG_IGN);
        ::pthread_sigmask(SIG_SETMASK, &held.before, nullptr);
        start::close_all_but({listener.get(), owner.get()});
        serve(listener, owner, initial);
        folder_.remove();
      });
    }
    server_ = ChildProcess(server);
  }

  Connection connect() const { return Connection(folder_.path()); }
  pid_t server() const { return server_.pid(); }
  const std::string& path() const { return folder_.path(); }

 private:
  SocketFolder folder_;
  ChildProcess server_;  // killed first, then the socket goes
};

/// A flag in it: 0 or 1. Each worker that polls makes a connection of its own.
class ValueFlag {
 public:
  struct Polled {
    Connection connection;
    bool raised() { return connection.get() != 0; }
    void raise() { connection.set(1); }
    void clear() { connection.set(0); }
  };
  Polled connect() const { return {server_.connect()}; }
  void clear() { connect().clear(); }
  const ValueServer& server() const { return server_; }

 private:
  ValueServer server_;
};

}  // namespace lab::manager_value
