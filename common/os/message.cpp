#include "common/os/message.hpp"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace lab {

void send_message(int fd, std::string_view body) {
  if (body.size() > UINT32_MAX) throw MessageError("a message cannot be longer than 4294967295 bytes");
  auto length = static_cast<std::uint32_t>(body.size());
  std::array<iovec, 2> parts{iovec{&length, sizeof length}, iovec{const_cast<char*>(body.data()), body.size()}};
  // A signal may keep the write from starting, a pipe that is nearly full cut it short: write_all sends what is left.
  const ssize_t sent = ::writev(fd, parts.data(), parts.size());
  if (sent < 0 && errno != EINTR && errno != EAGAIN) throw_errno("cannot send a message");
  const std::size_t done = sent < 0 ? 0 : static_cast<std::size_t>(sent), in_length = std::min(done, sizeof length);
  write_all(fd, std::as_bytes(std::span(&length, 1)).subspan(in_length));
  write_all(fd, std::as_bytes(std::span(body)).subspan(done - in_length));
}

std::optional<std::string> receive_message(int fd, std::size_t limit, Deadline deadline) {
  std::uint32_t length = 0;
  const std::size_t got = read_full(fd, std::as_writable_bytes(std::span(&length, 1)), deadline);
  if (got == 0) return std::nullopt;
  if (got < sizeof length) throw MessageError("end of file inside a message's length");
  if (length > limit) {
    throw MessageError("message of " + std::to_string(length) + " bytes is beyond the limit of " +
                       std::to_string(limit));
  }
  // A length is only a claim: room grows with what has arrived.
  std::string body;
  for (std::size_t at = 0; at < length; at = body.size()) {
    body.resize(std::min<std::size_t>(length, std::max<std::size_t>(4 * at, 256 << 10)));
    const auto room = std::as_writable_bytes(std::span(body)).subspan(at);
    if (read_full(fd, room, deadline) < room.size()) throw MessageError("end of file inside a message");
  }
  return body;
}

}  // namespace lab
