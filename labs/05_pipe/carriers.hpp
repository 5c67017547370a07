// Ways to carry messages between two sides, 0 and 1, behind one interface: send(side, message), and receive(side,
// buffer), which returns the length. Made before the two are forked or started.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

#include "bare_ring.hpp"
#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/multiprocessing/pipe/ring.hpp"
#include "common/os/descriptor.hpp"
#include "message_queues.hpp"

namespace lab::pipe {

using Buffer = std::span<std::byte>;

/// The Pipe: a one-way one each way, or one that is duplex.
class OneWayPipes {
 public:
  void send(int side, std::string_view message) { ways_[side].second.send_bytes(message); }
  std::size_t receive(int side, Buffer buffer) { return ways_[1 - side].first.recv_bytes_into(buffer); }

 private:
  std::array<std::pair<Connection, Connection>, 2> ways_{one_way(), one_way()};
};
class DuplexPipe {
 public:
  void send(int side, std::string_view message) { end(side).send_bytes(message); }
  std::size_t receive(int side, Buffer buffer) { return end(side).recv_bytes_into(buffer); }

 private:
  Connection& end(int side) { return side == 0 ? ends_.first : ends_.second; }
  std::pair<Connection, Connection> ends_ = duplex();
};

/// The floor: the same bytes, a message's length included, by a bare write and read of both at once. The reader must
/// know the length already.
class ReadAndWrite {
 public:
  void send(int side, std::string_view message) {
    auto length = static_cast<std::uint32_t>(message.size());
    const std::array<iovec, 2> parts{iovec{&length, sizeof length},
                                     {const_cast<char*>(message.data()), message.size()}};
    const ssize_t done = ::writev(ways_[side].second.get(), parts.data(), parts.size());
    if (done < 4) throw_errno("cannot write");
    write_all(ways_[side].second.get(), std::as_bytes(std::span(message)).subspan(static_cast<std::size_t>(done) - 4));
  }
  std::size_t receive(int side, Buffer buffer) {
    std::uint32_t length = 0;
    const std::array<iovec, 2> parts{iovec{&length, sizeof length}, {buffer.data(), buffer.size()}};
    const ssize_t done = ::readv(ways_[1 - side].first.get(), parts.data(), parts.size());
    if (done < 4) throw_errno("cannot read");
    read_full(ways_[1 - side].first.get(), buffer.subspan(static_cast<std::size_t>(done) - 4));
    return length;
  }

 private:
  std::array<std::pair<Descriptor, Descriptor>, 2> ways_{make_pipe(), make_pipe()};
};

/// A socket pair that keeps messages apart by itself. The kernel's send buffer bounds their length, some 200 KiB.
class Seqpacket {
 public:
  void send(int side, std::string_view message) {
    if (::send(end(side), message.data(), message.size(), MSG_NOSIGNAL) < 0) throw_errno("cannot send");
  }
  std::size_t receive(int side, Buffer buffer) {
    const ssize_t got = ::recv(end(side), buffer.data(), buffer.size(), 0);
    if (got < 0) throw_errno("cannot receive");
    return static_cast<std::size_t>(got);
  }

 private:
  int end(int side) { return (side == 0 ? ends_.first : ends_.second).get(); }
  std::pair<Descriptor, Descriptor> ends_ = make_socket_pair(SOCK_SEQPACKET);
};

template <Waiting waiting>
class Rings {
 public:
  void send(int side, std::string_view message) { senders_[side].send(message); }
  std::size_t receive(int side, Buffer buffer) { return receivers_[side].recv_into(buffer); }

 private:
  static constexpr std::size_t kCapacity = 1 << 16;  // a kernel pipe's
  Ring there_{kCapacity, waiting}, back_{kCapacity, waiting};
  std::array<RingSender, 2> senders_{RingSender(there_), RingSender(back_)};
  std::array<RingReceiver, 2> receivers_{RingReceiver(back_), RingReceiver(there_)};
};

using SleepingRings = Rings<Waiting::blocking>;
using SpinningRings = Rings<Waiting::spinning>;

/// The floor of the rings.
class BareRings {
 public:
  void send(int side, std::string_view message) {
    ways_[side].send(message.data(), static_cast<std::uint32_t>(message.size()));
  }
  std::size_t receive(int side, Buffer buffer) { return ways_[1 - side].recv(buffer.data()); }

 private:
  std::array<BareRing, 2> ways_;
};

}  // namespace lab::pipe
