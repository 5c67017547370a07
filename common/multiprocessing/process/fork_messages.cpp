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

// A few bytes, and descriptors beside them, aligned as the kernel's headers want it.
struct Packet {
  iovec part;
  alignas(cmsghdr) std::array<char, CMSG_SPACE((kMostDescriptors + 1) * sizeof(int))> ancillary{};
  msghdr header{};

  Packet(void* bytes, std::size_t size) : part{bytes, size} {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = ancillary.data();
    header.msg_controllen = ancillary.size();
  }
  Packet(const Packet&) = delete;  // it points into itself
  Packet& operator=(const Packet&) = delete;

  void put(std::span<const int> descriptors) {
    header.msg_controllen = descriptors.empty() ? 0 : CMSG_SPACE(descriptors.size_bytes());
    if (descriptors.empty()) return;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  std::vector<Descriptor> take() {
    std::vector<Descriptor> descriptors;
    for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights; rights = CMSG_NXTHDR(&header, rights)) {
      if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
      for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= rights->cmsg_len; at += sizeof(int)) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(rights) + at, sizeof fd);
        descriptors.emplace_back(fd);
      }
    }
    return descriptors;
  }
};

}  // namespace

void send_request(int socket, std::span<const int> descriptors, Deadline deadline) {
  char byte = kRequest;
  Packet packet(&byte, 1);
  packet.put(descriptors);
  while (::sendmsg(socket, &packet.header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR || (errno == EAGAIN && wait_for(socket, POLLOUT, deadline))) continue;
    if (errno == EAGAIN) errno = ETIMEDOUT;
    throw_errno("cannot ask the fork server for a worker");
  }
}

Request receive_request(int socket) {
  Request request;
  char byte = 0;
  Packet packet(&byte, 1);
  const ssize_t got = ::recvmsg(socket, &packet.header, MSG_CMSG_CLOEXEC);
  if (got < 0) {  // nothing was taken: the next try meets it again
    request.end = errno != EINTR && errno != EAGAIN && errno != EMFILE && errno != ENFILE && errno != ENOMEM;
    return request;
  }
  request.descriptors = packet.take();
  // An empty packet reads like end-of-file, and is none as long as the other end is open.
  request.end = got == 0 && wait_for(socket, POLLRDHUP, Deadline{});
  const bool whole = got == 1 && byte == kRequest && !(packet.header.msg_flags & MSG_TRUNC);
  if (!whole || request.descriptors.empty()) request.error = EBADMSG;
  if (packet.header.msg_flags & MSG_CTRUNC) request.error = EMFILE;  // the kernel has dropped some
  return request;
}

void answer(const Descriptor& client, std::int64_t number, int pidfd) {
  Packet packet(&number, sizeof number);
  packet.put(std::span(&pidfd, pidfd < 0 ? 0 : 1));
  while (::sendmsg(client.get(), &packet.header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR) continue;
}

std::optional<std::int64_t> receive_answer(int socket, int flags, Descriptor* pidfd) {
  // With our order unread in its socket, the loss of the server is a reset, otherwise an end-of-file.
  std::int64_t number = 0;
  Packet packet(&number, sizeof number);
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &packet.header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | flags);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return std::nullopt;
  std::vector<Descriptor> passed = packet.take();
  if (pidfd != nullptr && !passed.empty()) *pidfd = std::move(passed.front());
  return got == sizeof number ? std::optional(number) : std::nullopt;
}

Born receive_born(int socket, int requests, Deadline deadline) {
  constexpr int kLastErrno = 4095;
  int error = ETIMEDOUT;
  if (wait_for(socket, POLLIN, deadline)) {
    Descriptor pidfd;
    const auto number = receive_answer(socket, 0, &pidfd);
    if (number > 0 && number <= INT_MAX && pidfd) return {static_cast<pid_t>(*number), std::move(pidfd)};
    if (!number || (*number > 0 && *number <= INT_MAX)) {  // one that is being killed may have closed our socket before that for requests
      error = wait_for(requests, 0, std::min(deadline, Clock::now() + std::chrono::seconds(1))) ? EPIPE : EMFILE;
    } else {
      error = *number < 0 && *number >= -kLastErrno ? static_cast<int>(-*number) : EBADMSG;
    }
  }
  throw std::system_error(error, std::generic_category(), "the fork server made no worker");
}

}  // namespace lab::start
