#include "common/multiprocessing/pipe/pipe.hpp"

#include <arpa/inet.h>
#include <endian.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace lab::pipe {
namespace {

// A length as it is sent: 4 bytes, or 12 beyond what 31 bits hold.
struct Header {
  explicit Header(std::size_t length) {
    const auto narrow =
        static_cast<std::int32_t>(htonl(length > INT32_MAX ? UINT32_MAX : static_cast<std::uint32_t>(length)));
    std::memcpy(bytes.data(), &narrow, sizeof narrow);
    if (length <= INT32_MAX) return;
    const std::uint64_t wide = htobe64(length);
    std::memcpy(bytes.data() + sizeof narrow, &wide, sizeof wide);
    size = bytes.size();
  }
  std::array<char, 12> bytes;
  std::size_t size = 4;
};

template <class T>
std::span<std::byte> bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace

BufferTooShort::BufferTooShort(std::string taken)
    : MessageError(
          fmt::format("a message of {} bytes does not fit into the buffer; the error carries it", taken.size())),
      message(std::move(taken)) {}

Connection::Connection(Descriptor end, bool readable, bool writable)
    : end_(std::move(end)), readable_(readable), writable_(writable) {
  if (!readable && !writable) throw std::invalid_argument("an end must be readable, writable or both");
}

int Connection::fileno() const {
  if (closed()) throw NotOpen("this end of the pipe is closed");
  return end_.get();
}

void Connection::send_bytes(std::string_view message) {
  const int fd = fileno();
  if (!writable_) throw NotOpen("this end of the pipe is read-only");
  const Header header(
      message.size());  // with the body in one system call: one wake-up of the reader, and up to PIPE_BUF
  send_frame(fd, {header.bytes.data(), header.size}, message);  // (4096) bytes in one piece
}

void Connection::read_exactly(std::span<std::byte> bytes, bool message_began) const {
  const std::size_t got = read_full(end_.get(), bytes);
  if (got == bytes.size()) return;
  if (got == 0 && !message_began) throw EndOfFile("end of file: every other end of the pipe is closed");
  throw MessageError("got end of file during a message");
}

std::size_t Connection::read_length(std::size_t maximum) {
  fileno();
  if (!readable_) throw NotOpen("this end of the pipe is write-only");
  std::uint32_t narrow = 0;
  read_exactly(bytes_of(narrow), false);
  std::uint64_t length = ntohl(narrow);
  if (length == UINT32_MAX) {
    read_exactly(bytes_of(length), true);
    length = be64toh(length);
  } else if (length > INT32_MAX) {
    length = UINT64_MAX;  // a negative number that nobody sends: longer than any maximum
  }
  if (length <= maximum && length < UINT64_MAX) return length;
  writable_ ? void(readable_ = false) : close();
  throw MessageError(fmt::format("a message of {} bytes is beyond the maximum of {}; this end is {} now", length,
                                 maximum, closed() ? "closed" : "write-only"));
}

std::string Connection::recv_bytes(std::size_t maximum) {
  const std::size_t length = read_length(maximum);
  return receive_body(fileno(), length);
}

std::size_t Connection::recv_bytes_into(std::span<std::byte> buffer, std::size_t offset) {
  if (offset > buffer.size())
    throw std::invalid_argument(fmt::format("offset {} is outside a buffer of {} bytes", offset, buffer.size()));
  const std::size_t length = read_length(std::max(kMessageLimit, buffer.size()));
  if (length > buffer.size() - offset) throw BufferTooShort(receive_body(fileno(), length));
  read_exactly(buffer.subspan(offset, length), true);
  return length;
}

bool Connection::poll(Timeout timeout) const {
  const int fd = fileno();
  if (!readable_) throw NotOpen("this end of the pipe is write-only");
  return wait_for(fd, POLLIN, timeout.deadline());
}

std::pair<Connection, Connection> one_way() {
  ignore_vanished_readers();
  auto [out, in] = make_pipe();
  return {Connection(std::move(out), true, false), Connection(std::move(in), false, true)};
}

std::pair<Connection, Connection> duplex() {
  ignore_vanished_readers();
  auto [a, b] = make_socket_pair(SOCK_STREAM);
  return {Connection(std::move(a)), Connection(std::move(b))};
}

std::vector<std::size_t> wait_many(const std::vector<Waitable>& list, Timeout timeout) {
  const Deadline deadline = timeout.deadline();
  std::vector<pollfd> entries;
  for (const Waitable& each : list) {
    if (each.fd < 0) throw NotOpen("cannot wait for a descriptor that is closed");  // poll would pass over it
    entries.push_back({each.fd, POLLIN, 0});
  }
  for (;;) {
    const timespec at_most = time_left(deadline);
    if (::ppoll(entries.data(), entries.size(), &at_most, nullptr) >= 0) break;
    if (errno != EINTR) throw_errno("cannot wait for many");
  }
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].revents & POLLNVAL) {
      errno = EBADF;
      throw_errno("cannot wait for descriptor " + std::to_string(entries[i].fd));
    }
    if (entries[i].revents) ready.push_back(i);  // POLLHUP and POLLERR too: the next read will not block
  }
  return ready;
}

}  // namespace lab::pipe
