// What a fork server and its clients tell each other, to the byte. Neither trusts the other: what arrives is a message or
// it is refused, and nobody waits for the rest of one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/os/descriptor.hpp"

namespace lab::start {

/// Descriptors that can go with one request: the kernel passes 253, and one is the client's socket.
inline constexpr std::size_t kMostDescriptors = 252;

/// Asks for a worker: passes the client's socket and then the worker's descriptors. Throws
/// std::system_error: EPIPE when the server is gone, ETIMEDOUT when it has not taken it by the deadline.
void send_request(int socket, std::span<const int> descriptors, Deadline deadline);

struct Request {
  std::vector<Descriptor> descriptors;
  bool end = false;  ///< end-of-file: no client is left
  int error = 0;     ///< for the client: EMFILE when not all descriptors found room here, EBADMSG for what is no request
};
/// Takes the next packet, whatever it holds.
Request receive_request(int socket);

/// Answers with 8 bytes, as CPython's server does: the pid, with the worker's pidfd beside it; later the exit code; -errno
/// where it could not fork. A client that does not listen any more is none.
void answer(const Descriptor& client, std::int64_t number, int pidfd = -1);

/// Takes an answer that has arrived (with MSG_PEEK, leaves it there); none where there is not a whole one: the server
/// is gone.
std::optional<std::int64_t> receive_answer(int socket, int flags = 0, Descriptor* pidfd = nullptr);

struct Born {
  pid_t pid;
  Descriptor pidfd;
};
/// Waits for the first answer. Throws std::system_error with the errno in it; ETIMEDOUT once the deadline has passed; for
/// no answer, EPIPE when the server at the other end of `requests` is gone and EMFILE when it lives, for then it had no
/// room for our socket, or we none for the pidfd; EBADMSG for a number that is neither pid nor errno.
Born receive_born(int socket, int requests, Deadline deadline);

}  // namespace lab::start
