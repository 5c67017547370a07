// Somebody on the other end of a socket who takes a millisecond to answer.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <thread>
#include <vector>

#include "common/os/children.hpp"
#include "common/os/descriptor.hpp"
#include "common/os/team.hpp"
#include "gil.hpp"
#include "guards.hpp"

namespace lab::gil {

/// A process that answers each byte 1 ms later. The delay matters: to an answer that came at once a thread would be
/// back from its call before any other had woken up, and nothing of the lock's cost could be seen. Make it while the
/// process has one thread; it ends with this object, or with its parent.
class SlowPeer {
 public:
  SlowPeer() {
    auto [theirs, ours] = make_socket_pair(SOCK_STREAM);
    const pid_t pid = fork_child();
    if (pid == 0) {
      leave([&, &there = theirs, &here = ours] {
        here.reset();  // else it would keep its own end-of-file from coming
        for (std::array<std::byte, 1> byte; read_full(there.get(), byte) == 1;) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
          write_all(there.get(), byte);
        }
      });
    }
    peer_ = ChildProcess(pid);  // killed with this object
    socket_ = std::move(ours);
  }
  SlowPeer(const SlowPeer&) = delete;
  SlowPeer& operator=(const SlowPeer&) = delete;

  /// Asks, and waits for the answer. Throws WorkerError when none comes within 10 s.
  void round_trip() const {
    std::array<std::byte, 1> byte{};
    write_all(socket_.get(), byte);
    if (!wait_for(socket_.get(), POLLIN, Clock::now() + std::chrono::seconds(10)) ||
        read_full(socket_.get(), byte) != 1) {
      throw WorkerError("the peer gave no answer within 10 s");
    }
  }

 private:
  Descriptor socket_;
  ChildProcess peer_;
};

/// Asks the peer `trips` times, with the lock dropped while it waits, as an interpreter does. Returns the microseconds
/// of each round trip, the wait for the lock included.
inline std::vector<double> round_trips(const SlowPeer& peer, Gil& gil, int trips) {
  std::vector<double> microseconds;
  const Held held(gil);
  for (int trip = 0; trip < trips; ++trip) {
    const auto start = std::chrono::steady_clock::now();
    {
      const Released released(gil);
      peer.round_trip();
    }
    microseconds.push_back(1e6 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return microseconds;
}

}  // namespace lab::gil
