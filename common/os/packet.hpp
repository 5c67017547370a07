// Bytes with open descriptors beside them (SCM_RIGHTS), on a Unix socket: how an open file gets to another process.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <vector>

#include "common/os/descriptor.hpp"

namespace lab {

/// Descriptors that the kernel passes at a time.
inline constexpr std::size_t kMostPassed = 253;

/// Sends the bytes, and copies of at most kMostPassed descriptors. As sendmsg, but waits for nothing (EAGAIN) and raises
/// no signal: how many bytes were sent, or -1 and errno.
ssize_t send_packet(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors);

struct Packet {
  ssize_t size = 0;  ///< as of recvmsg: 0 at end-of-file, -1 and errno where nothing was taken
  int flags = 0;     ///< MSG_TRUNC: there were more bytes; MSG_CTRUNC: not all descriptors found room
  std::vector<Descriptor> descriptors;  ///< close-on-exec
};
/// Takes what has arrived into `bytes`, whatever it is; waits for nothing (EAGAIN).
Packet receive_packet(int socket, std::span<std::byte> bytes);

}  // namespace lab
