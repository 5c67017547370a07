#include "common/os/packet.hpp"

#include <sys/socket.h>

#include <array>
#include <cstring>

namespace lab {
namespace {

// Room for descriptors, aligned as the kernel's headers want it.
struct Ancillary {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostPassed * sizeof(int))> data;
};

}  // namespace

ssize_t send_packet(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  Ancillary ancillary{};
  msghdr header{.msg_iov = &part, .msg_iovlen = 1};
  if (!descriptors.empty()) {
    header.msg_control = ancillary.data.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  return ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

Packet receive_packet(int socket, std::span<std::byte> bytes) {
  iovec part{bytes.data(), bytes.size()};
  Ancillary ancillary;
  msghdr header{.msg_iov = &part, .msg_iovlen = 1};
  header.msg_control = ancillary.data.data();
  header.msg_controllen = ancillary.data.size();
  Packet packet;
  packet.size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (packet.size < 0) return packet;
  packet.flags = header.msg_flags;
  for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights; rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= rights->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(rights) + at, sizeof fd);
      packet.descriptors.emplace_back(fd);
    }
  }
  return packet;
}

}  // namespace lab
