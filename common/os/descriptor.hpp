// A file descriptor with an owner: closed once, on every path, and never inherited by a program that is exec'ed.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "common/os/clock.hpp"

namespace lab {

/// Throws std::system_error for the present errno: "<what>: <the system's sentence>".
[[noreturn]] void throw_errno(const std::string& what);

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Descriptor() { reset(); }

  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  [[gnu::hot]] void reset(int fd = -1);
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// {read end, write end}, both close-on-exec. Throws std::system_error.
std::pair<Descriptor, Descriptor> make_pipe();

/// Two connected Unix sockets of that type (SOCK_STREAM, SOCK_SEQPACKET), close-on-exec. Throws std::system_error.
std::pair<Descriptor, Descriptor> make_socket_pair(int type);

/// Waits until fd has one of `events` (POLLIN, POLLOUT) or an error or end-of-file; false once the deadline has passed.
[[gnu::hot]] bool wait_for(int fd, short events, Deadline deadline);

/// Writes all bytes, whatever the kernel takes at a time; waits where a non-blocking descriptor would not. Throws
/// std::system_error; a vanished reader is EPIPE (no signal is raised where the caller ignores SIGPIPE, as lab programs
/// do).
void write_all(int fd, std::span<const std::byte> bytes);

/// Has a vanished reader be an error (EPIPE) and not the end: ignores SIGPIPE, unless the program handles it.
void ignore_vanished_readers();

/// Reads until `bytes` is full or the stream ends, waiting likewise; returns how many arrived. Throws
/// std::system_error; ETIMEDOUT once the deadline has passed.
[[gnu::hot]] std::size_t read_full(int fd, std::span<std::byte> bytes, Deadline deadline = Deadline::max());

}  // namespace lab
