// Ways to carry messages between two sides, 0 and 1, behind one interface: send(side, message), and receive(side,
// buffer), which returns the length. Made before the two are forked or started.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <csignal>

#include "bare_ring.hpp"
#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/os/say.hpp"

namespace lab::pipe {

using Buffer = std::span<std::byte>;

/// A carrier of which there is one each way.
template <class OneWay>
class BothWays {
 public:
  void send(int side, std::string_view message) { ways_[side].send(message); }
  std::size_t receive(int side, Buffer buffer) { return ways_[1 - side].receive(buffer); }

 private:
  std::array<OneWay, 2> ways_;
};

/// The Pipe: a one-way one each way, or one that is duplex.
struct OneWayPipe {
  void send(std::string_view message) { ends.second.send_bytes(message); }
  std::size_t receive(Buffer buffer) { return ends.first.recv_bytes_into(buffer); }
  std::pair<Connection, Connection> ends = one_way();
};
using OneWayPipes = BothWays<OneWayPipe>;
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
struct BarePipe {
  void send(std::string_view message) {
    auto length = static_cast<std::uint32_t>(message.size());
    const std::array<iovec, 2> parts{iovec{&length, sizeof length},
                                     {const_cast<char*>(message.data()), message.size()}};
    const ssize_t done = ::writev(ends.second.get(), parts.data(), parts.size());
    if (done < 4) throw_errno("cannot write");
    write_all(ends.second.get(), std::as_bytes(std::span(message)).subspan(static_cast<std::size_t>(done) - 4));
  }
  std::size_t receive(Buffer buffer) {
    std::uint32_t length = 0;
    const std::array<iovec, 2> parts{iovec{&length, sizeof length}, {buffer.data(), buffer.size()}};
    const ssize_t done = ::readv(ends.first.get(), parts.data(), parts.size());
    if (done < 4) throw_errno("cannot read");
    read_full(ends.first.get(), buffer.subspan(static_cast<std::size_t>(done) - 4));
    return length;
  }
  std::pair<Descriptor, Descriptor> ends = make_pipe();
};
using ReadAndWrite = BothWays<BarePipe>;

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

/// A POSIX message queue. It must have a name, which is gone before anything is sent.
class MessageQueue {
 public:
  static constexpr long kLongest = 4096;
  /// Throws std::system_error where they are not permitted, or only for shorter messages.
  MessageQueue() {  // on Linux a queue's descriptor is a file descriptor, close-on-exec by itself
    const std::string name = fmt::format("/lab-05-{}", ::getpid());
    mq_attr about{};
    about.mq_maxmsg = 8;
    about.mq_msgsize = kLongest;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);  // a Ctrl-C between the two calls would leave the name behind
    queue_.reset(::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &about));
    const int error = errno;
    if (queue_) ::mq_unlink(name.c_str());
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
    if (!queue_) throw_errno("cannot make a message queue");
  }
  /// Whether they are permitted; where not, says so once.
  static bool permitted() {
    try {
      MessageQueue();
      return true;
    } catch (const std::system_error& error) {
      say("POSIX message queues are left out: {}. See /proc/sys/fs/mqueue and ulimit -q.\n", error.what());
      return false;
    }
  }
  void send(std::string_view message) {
    if (::mq_send(queue_.get(), message.data(), message.size(), 0) < 0) throw_errno("cannot send to a message queue");
  }
  std::size_t receive(Buffer buffer) {
    const ssize_t got = ::mq_receive(queue_.get(), room_.data(), room_.size(), nullptr);
    if (got < 0) throw_errno("cannot receive from a message queue");
    std::memcpy(buffer.data(), room_.data(), std::min(buffer.size(), static_cast<std::size_t>(got)));
    return static_cast<std::size_t>(got);
  }

 private:
  Descriptor queue_;
  std::array<char, kLongest> room_{};  // a receiver must have room for the longest message
};
using MessageQueues = BothWays<MessageQueue>;

template <Waiting waiting>
struct OneRing {
  void send(std::string_view message) { sender.send(message); }
  std::size_t receive(Buffer buffer) { return receiver.recv_into(buffer); }
  static constexpr std::size_t kCapacity = 1 << 16;  // a kernel pipe's
  Ring ring{kCapacity, waiting};
  RingSender sender{ring};
  RingReceiver receiver{ring};
};
using SleepingRings = BothWays<OneRing<Waiting::blocking>>;
using SpinningRings = BothWays<OneRing<Waiting::spinning>>;

/// The floor of the rings.
using BareRings = BothWays<BareRing>;

}  // namespace lab::pipe
