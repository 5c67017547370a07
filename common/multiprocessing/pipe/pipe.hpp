// What processes talk through, after multiprocessing.connection: Pipe, two ends that carry whole messages; and wait, for
// many of them at once.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/os/codec.hpp"
#include "common/os/descriptor.hpp"
#include "common/os/message.hpp"
#include "common/os/timeout.hpp"

namespace lab::pipe {

/// Every other end is closed and all messages have been taken: Python's EOFError. Nothing was lost.
struct EndOfFile : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// This end is closed, or does not go in that direction (any more).
struct NotOpen : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The buffer is smaller than the message, which is here, whole; the connection can still be used.
struct BufferTooShort : MessageError {
  explicit BufferTooShort(std::string taken);
  std::string message;
};

/// One end. A message is a 4-byte length, big-endian, then the body; a length beyond 2^31 - 1 is sent as -1, then 8
/// bytes. An end is for one reader and one writer at a time: two of either, without a lock, tear each other's messages.
/// Besides the exceptions named, every call throws std::system_error for what the system refuses; a vanished reader is
/// EPIPE.
class Connection {
 public:
  Connection() = default;  ///< closed
  explicit Connection(Descriptor end, bool readable = true, bool writable = true);

  /// Sends one message, which may be empty; blocks while the channel is full. Throws NotOpen.
  void send_bytes(std::string_view message);

  /// Takes one message; blocks until it is there. Throws EndOfFile between messages, MessageError for an end of file
  /// inside one and for a message longer than `maximum`. What follows a refused length cannot be told from a body, so
  /// that this end is not read again: a duplex end becomes write-only, a one-way end is closed. Throws NotOpen.
  std::string recv_bytes(std::size_t maximum = kMessageLimit);

  /// Takes one message into buffer[offset...] and returns its length. Throws BufferTooShort, which carries a message
  /// that does not fit; std::invalid_argument for an offset outside the buffer; and what recv_bytes throws.
  std::size_t recv_bytes_into(std::span<std::byte> buffer, std::size_t offset = 0);

  /// The same for a value, through the codec. recv throws MessageError for a message that holds no T; it has been taken
  /// then, and the next one can be.
  template <class T>
  void send(const T& value) {
    send_bytes(encode(value));
  }
  template <class T>
  T recv(std::size_t maximum = kMessageLimit) {
    return decode<T>(recv_bytes(maximum));
  }

  /// Whether recv would find something at once, or within `timeout`: the first byte of a message, or end-of-file.
  /// Throws NotOpen.
  bool poll(Timeout timeout = std::chrono::nanoseconds(0)) const;

  void close() { end_.reset(); }
  bool closed() const { return !end_; }
  bool readable() const { return readable_; }
  bool writable() const { return writable_; }
  int fileno() const;  ///< Throws NotOpen.

 private:
  void read_exactly(std::span<std::byte> bytes, bool message_began) const;
  std::size_t read_length(std::size_t maximum);

  Descriptor end_;
  bool readable_ = false, writable_ = false;
};

/// {receiver, sender}: Pipe(duplex=False), a kernel pipe. Throws std::system_error. This and duplex() also make the
/// program ignore SIGPIPE if it has no handler for it, as Python does: a vanished reader is an error to handle, not the
/// end.
std::pair<Connection, Connection> one_way();

/// Two ends that both send and receive: Pipe(), a pair of Unix stream sockets. Throws std::system_error.
std::pair<Connection, Connection> duplex();

/// What can be waited for, borrowed: an end of a pipe (ready: a message or end-of-file), a socket, a sentinel
/// (open_pidfd; ready: the process has ended), or any other descriptor one can poll. Unlike a pipe whose other end only
/// the child should hold, no sibling can keep a sentinel from becoming ready.
struct Waitable {
  Waitable(const Connection& end) : fd(end.fileno()) {}   // NOLINT: a list of all kinds is the idea
  Waitable(const Descriptor& owned) : fd(owned.get()) {}  // NOLINT
  Waitable(int descriptor) : fd(descriptor) {}            // NOLINT
  int fd;
};

/// Waits until at least one is ready or the timeout has passed, and returns the positions of *all* that are ready, in
/// the order of the list: who served only the first would let a busy one starve the others. Empty after the timeout.
/// Throws NotOpen for a closed Connection, std::system_error for a descriptor that is not open.
std::vector<std::size_t> wait_many(const std::vector<Waitable>& list, Timeout timeout);

}  // namespace lab::pipe
