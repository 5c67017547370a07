// Waiting for many at once, after multiprocessing.connection.wait: pipes, sockets, and processes that end.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/os/children.hpp"
#include "common/os/descriptor.hpp"

namespace lab::pipe {

/// What can be waited for, borrowed: an end of a pipe (ready: a message or end-of-file), a socket, a sentinel (ready:
/// the process has ended), or any other descriptor one can poll.
struct Waitable {
  Waitable(const Connection& end) : fd(end.fileno()) {}   // NOLINT: a list of all kinds is the idea
  Waitable(const Descriptor& owned) : fd(owned.get()) {}  // NOLINT
  Waitable(int descriptor) : fd(descriptor) {}            // NOLINT
  int fd;
};

/// Waits until at least one is ready or the timeout has passed, and returns the positions of *all* that are ready, in
/// the order of the list: who served only the first would let a busy one starve the others. Empty after the timeout.
/// Throws NotOpen for a closed Connection, std::system_error for a descriptor that is not open.
std::vector<std::size_t> wait_many(const std::vector<Waitable>& list, Timeout timeout);

/// A descriptor that becomes readable when that process, a child of ours, has ended (a pidfd; the child is still to be
/// reaped). Unlike a pipe whose other end only the child should hold, no sibling can keep it from becoming ready.
inline Descriptor sentinel_of(pid_t child) { return open_pidfd(child); }

}  // namespace lab::pipe
