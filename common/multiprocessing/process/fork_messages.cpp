#include "common/multiprocessing/process/fork_messages.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>

namespace lab::start {
namespace {

constexpr char kRequest = 'f';

// One byte, and room for descriptors beside it, aligned as the kernel's headers want it.
struct Packet {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE((kMostDescriptors + 1) * sizeof(int))> ancillary{};
  msghdr header{};

  explicit Packet(std::size_t room) {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = ancillary.data();
    header.msg_controllen = room;
  }
  Packet(const Packet&) = delete;  // it points into itself
  Packet& operator=(const Packet&) = delete;
};

}  // namespace

void send_request(int socket, std::span<const int> descriptors, Deadline deadline) {
  Packet packet(CMSG_SPACE(descriptors.size_bytes()));
  packet.byte = kRequest;
  cmsghdr* header = CMSG_FIRSTHDR(&packet.header);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  while (::sendmsg(socket, &packet.header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR || (errno == EAGAIN && wait_for(socket, POLLOUT, deadline))) continue;
    if (errno == EAGAIN) errno = ETIMEDOUT;
    throw_errno("cannot ask the fork server for a worker");
  }
}

Request receive_request(int socket) {
  Request request;
  Packet packet(sizeof packet.ancillary);
  const ssize_t got = ::recvmsg(socket, &packet.header, MSG_CMSG_CLOEXEC);
  if (got < 0) {  // nothing was taken: the next try meets it again
    request.end = errno != EINTR && errno != EAGAIN && errno != EMFILE && errno != ENFILE && errno != ENOMEM;
    return request;
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&packet.header); header; header = CMSG_NXTHDR(&packet.header, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= header->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
      request.descriptors.emplace_back(fd);
    }
  }
  // An empty packet reads like end-of-file, and is none as long as the other end is open.
  request.end = got == 0 && wait_for(socket, POLLRDHUP, Deadline{});
  const bool whole = got == 1 && packet.byte == kRequest && !(packet.header.msg_flags & MSG_TRUNC);
  if (!whole || request.descriptors.empty()) request.error = EBADMSG;
  if (packet.header.msg_flags & MSG_CTRUNC) request.error = EMFILE;  // the kernel has dropped some
  return request;
}

void answer(const Descriptor& client, std::int64_t number) {
  while (::send(client.get(), &number, sizeof number, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR) continue;
}

std::optional<std::int64_t> receive_answer(int socket, int flags) {
  // With our order unread in its socket, the loss of the server is a reset, otherwise an end-of-file.
  std::int64_t number = 0;
  ssize_t got = 0;
  do {
    got = ::recv(socket, &number, sizeof number, MSG_DONTWAIT | flags);
  } while (got < 0 && errno == EINTR);
  return got == sizeof number ? std::optional(number) : std::nullopt;
}

pid_t receive_pid(int socket, int requests, Deadline deadline) {
  constexpr int kLastErrno = 4095;
  int error = ETIMEDOUT;
  if (wait_for(socket, POLLIN, deadline)) {
    const auto number = receive_answer(socket);
    if (number > 0 && number <= INT_MAX) return static_cast<pid_t>(*number);
    if (!number) {  // one that is being killed may have closed our socket before that for requests
      error = wait_for(requests, 0, std::min(deadline, Clock::now() + std::chrono::seconds(1))) ? EPIPE : EMFILE;
    } else {
      error = *number < 0 && *number >= -kLastErrno ? static_cast<int>(-*number) : EBADMSG;
    }
  }
  throw std::system_error(error, std::generic_category(), "the fork server made no worker");
}

}  // namespace lab::start
