// What travels between a pool and one of its workers: chunks there, replies back, each a length and a body; and the few
// words of shared memory that say which chunks the worker has begun.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
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

/// Throws MessageError for arguments too long for a frame; the rest of it is short.
inline void check_fits(std::size_t arguments) {
  if (arguments > kFrameLimit - (1 << 16))
    throw MessageError(std::to_string(arguments) + " bytes are beyond the limit of " + std::to_string(kFrameLimit) +
                       " for the arguments of a chunk");
}

/// Frames are built in place: open, append the body, close. Closing throws MessageError, and takes the frame off again,
/// when the body is beyond the limit.
inline std::size_t open_frame(std::string& out) {
  out.append(sizeof(std::uint32_t), '\0');
  return out.size();
}
inline void close_frame(std::string& out, std::size_t body) {
  const std::size_t length = out.size() - body;
  if (length > kFrameLimit) {
    out.resize(body - sizeof(std::uint32_t));
    throw MessageError(std::to_string(length) + " bytes are beyond the limit of " + std::to_string(kFrameLimit) +
                       " for a chunk");
  }
  const auto prefix = static_cast<std::uint32_t>(length);
  std::memcpy(out.data() + body - sizeof prefix, &prefix, sizeof prefix);
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

  /// One read. `nothing`: a non-blocking descriptor had none. Throws std::system_error.
  Got fill(int fd) {
    buffer_.erase(0, taken_);
    taken_ = 0;
    const std::size_t before = buffer_.size();
    buffer_.resize(before + std::clamp<std::size_t>(missing(), kLeast, kMost));
    ssize_t n = 0;
    do {
      n = ::read(fd, buffer_.data() + before, buffer_.size() - before);
    } while (n < 0 && errno == EINTR);
    const int error = errno;
    buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n > 0) return Got::bytes;
    if (n == 0) return Got::end;
    if (error == EAGAIN) return Got::nothing;
    errno = error;
    throw_errno("cannot read from a worker's pipe");
  }

  /// The body of the next complete frame; valid until the next fill. Throws MessageError for a length beyond the limit.
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

/// A worker's words in memory it shares with the pool. Several small chunks may be on their way to a worker, so that it
/// need not wait for the next one; it begins a chunk only if the pool has not taken it back meanwhile for a worker that
/// is idle. After the worker's death the same words tell which chunk it had begun: that one is affected, the others
/// just go elsewhere.
class Begun {
 public:
  static constexpr std::uint64_t kSlots = 32;  ///< more chunks than these are never on their way at once

  /// Pool: chunk `number` is about to be sent.
  void offer(std::uint64_t number) { slot(number).store(number * 2, std::memory_order_release); }
  /// Pool: takes an offered chunk back; false when the worker has begun it.
  bool take_back(std::uint64_t number) { return swap(number, number * 2, 0); }
  /// Worker: begins a chunk; false when it was taken back.
  bool begin(std::uint64_t number) { return swap(number, number * 2, number * 2 + 1); }

  std::atomic<std::uint32_t> ready{0};  ///< 1 once the worker's initializer has returned

 private:
  std::atomic<std::uint64_t>& slot(std::uint64_t number) { return slots_[number % kSlots]; }
  bool swap(std::uint64_t number, std::uint64_t from, std::uint64_t to) {
    return slot(number).compare_exchange_strong(from, to);
  }
  std::array<std::atomic<std::uint64_t>, kSlots> slots_{};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

/// A reply is the number of its chunk, one of these, and what it says.
enum class Reply : char { values = 'v', error = 'e', initializer_failed = 'i' };

/// Its parts; what it says is not looked into. Throws Garbled.
inline std::tuple<std::uint64_t, Reply, std::string_view> parse_reply(std::string_view frame) {
  constexpr std::size_t head = 1 + sizeof(std::uint64_t);
  if (frame.size() <= head || frame[0] != Encoder::tag<std::uint64_t>() ||
      std::string_view("vei").find(frame[head]) == std::string_view::npos)
    throw Garbled("a reply is cut short or of no known kind");
  return {decode<std::uint64_t>(frame.substr(0, head)), static_cast<Reply>(frame[head]), frame.substr(head + 1)};
}

}  // namespace lab::pool
