// What travels between a pool and one of its workers: chunks there, replies back, each a length and a body. Frames are
// built in place and taken apart without waiting for the rest of one: the pool's thread must never wait for a single
// worker.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "common/os/codec.hpp"
#include "common/os/descriptor.hpp"

namespace lab::pool {

/// Longest body of a frame: a chunk's arguments or its results.
inline constexpr std::size_t kFrameLimit = std::size_t{1} << 30;

/// Frames are built in place: open, append the body, close.
inline std::size_t open_frame(std::string& out) {
  out.append(sizeof(std::uint32_t), '\0');
  return out.size();
}
inline void close_frame(std::string& out, std::size_t body) {
  const auto length = static_cast<std::uint32_t>(out.size() - body);
  std::memcpy(out.data() + body - sizeof length, &length, sizeof length);
}

/// What a worker sends is no reply to what it was sent.
struct Garbled : MessageError {
  using MessageError::MessageError;
};

/// Frames as they come in: one read takes as many as there are, and a frame that is not complete yet never blocks the
/// reader of a non-blocking descriptor. Memory grows with what has arrived, not with what a length claims.
class Inbox {
 public:
  enum class Got { bytes, nothing, end };

  /// One read. Throws std::system_error.
  Got fill(int fd) {
    buffer_.erase(0, std::exchange(taken_, 0));
    const std::size_t before = buffer_.size();
    buffer_.resize(before + std::clamp(missing(), kLeast, kMost));
    ssize_t n = 0;
    do {
      n = ::read(fd, buffer_.data() + before, buffer_.size() - before);
    } while (n < 0 && errno == EINTR);
    buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0 && errno != EAGAIN) throw_errno("cannot read from a worker's pipe");
    return n > 0 ? Got::bytes : n == 0 ? Got::end : Got::nothing;
  }

  /// The body of the next complete frame; valid until the next fill. Throws Garbled for a length beyond the limit.
  std::optional<std::string_view> next() {
    const std::string_view rest = std::string_view(buffer_).substr(taken_);
    const auto length = length_of(rest);
    if (!length || rest.size() - sizeof *length < *length) return std::nullopt;
    taken_ += sizeof *length + *length;
    return rest.substr(sizeof *length, *length);
  }

 private:
  static constexpr std::size_t kLeast = 4096, kMost = 65536;  // a pipe gives 64 KiB at a time at most

  static std::optional<std::uint32_t> length_of(std::string_view rest) {
    std::uint32_t length = 0;
    if (rest.size() < sizeof length) return std::nullopt;
    std::memcpy(&length, rest.data(), sizeof length);
    if (length > kFrameLimit)
      throw Garbled("a frame of " + std::to_string(length) + " bytes is beyond the limit of " +
                    std::to_string(kFrameLimit));
    return length;
  }
  std::size_t missing() const {
    const auto length = length_of(buffer_);
    return length && *length + sizeof *length > buffer_.size() ? *length + sizeof *length - buffer_.size() : 0;
  }

  std::string buffer_;
  std::size_t taken_ = 0;
};

}  // namespace lab::pool
