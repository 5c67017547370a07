#include "common/os/message.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace lab {

void send_frame(int fd, std::string_view header, std::string_view body, Deadline deadline) {
  std::array<iovec, 2> parts{iovec{const_cast<char*>(header.data()), header.size()},
                             iovec{const_cast<char*>(body.data()), body.size()}};
  msghdr frame{};
  frame.msg_iov = parts.data();
  frame.msg_iovlen = parts.size();
  while (parts[0].iov_len + parts[1].iov_len > 0) {  // a pipe that is nearly full takes a part
    const ssize_t sent = deadline == Deadline::max() ? ::writev(fd, parts.data(), parts.size())
                                                     : ::sendmsg(fd, &frame, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN && !wait_for(fd, POLLOUT, deadline)) errno = ETIMEDOUT;
    if (sent < 0 && errno != EINTR && errno != EAGAIN) throw_errno("cannot send a message");
    for (std::size_t done = sent < 0 ? 0 : static_cast<std::size_t>(sent); iovec & part : parts) {
      const std::size_t gone = std::min(done, part.iov_len);
      part = {static_cast<char*>(part.iov_base) + gone, part.iov_len - gone};
      done -= gone;
    }
  }
}

std::string receive_body(int fd, std::size_t length, Deadline deadline) {
  std::string body;
  for (std::size_t at = 0; at < length; at = body.size()) {
    body.resize(std::min(length, std::max<std::size_t>(4 * at, 256 << 10)));
    const auto room = std::as_writable_bytes(std::span(body)).subspan(at);
    if (read_full(fd, room, deadline) < room.size()) throw MessageError("got end of file during a message");
  }
  return body;
}

void send_message(int fd, std::string_view body, Deadline deadline) {
  if (body.size() > UINT32_MAX) throw MessageError("a message cannot be longer than 4294967295 bytes");
  const auto length = static_cast<std::uint32_t>(body.size());
  send_frame(fd, {reinterpret_cast<const char*>(&length), sizeof length}, body, deadline);
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
  return receive_body(fd, length, deadline);
}

}  // namespace lab
