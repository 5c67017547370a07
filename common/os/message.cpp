#include "common/os/message.hpp"

#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace lab {

void send_message(int fd, std::string_view body) {
  if (body.size() > UINT32_MAX) throw MessageError("a message cannot be longer than 4294967295 bytes");
  auto length = static_cast<std::uint32_t>(body.size());
  std::array<iovec, 2> parts{iovec{&length, sizeof length}, iovec{const_cast<char*>(body.data()), body.size()}};
  ssize_t sent = 0;
  do {
    sent = ::writev(fd, parts.data(), parts.size());
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) throw_errno("cannot send a message");
  // A pipe that is nearly full, or a signal, may cut the write short: send the rest of the header, then of the body.
  auto done = static_cast<std::size_t>(sent);
  if (done < sizeof length) {
    write_all(fd, std::as_bytes(std::span(&length, 1)).subspan(done));
    done = sizeof length;
  }
  write_all(fd, std::as_bytes(std::span(body)).subspan(done - sizeof length));
}

std::optional<std::string> receive_message(int fd, std::size_t limit) {
  std::uint32_t length = 0;
  const std::size_t got = read_full(fd, std::as_writable_bytes(std::span(&length, 1)));
  if (got == 0) return std::nullopt;
  if (got < sizeof length) throw MessageError("end of file inside a message's length");
  if (length > limit) {
    throw MessageError("message of " + std::to_string(length) + " bytes is beyond the limit of " + std::to_string(limit));
  }
  std::string body(length, '\0');
  if (read_full(fd, std::as_writable_bytes(std::span(body))) < length) throw MessageError("end of file inside a message");
  return body;
}

}  // namespace lab
