// Two writers on one end without a lock: the demonstration of how messages tear, and up to which size they do not.
#pragma once

#include <cstddef>

#include "common/os/descriptor.hpp"

namespace lab::pipe {

struct TornWrites {
  int whole = 0;      ///< messages that came as one writer had sent them
  bool torn = false;  ///< a message came mixed with another, or the stream could not be followed any more
};

/// Two processes send `messages` messages each over one end of a pipe that both have inherited, each of just one letter
/// of their own; the reader takes them until one is torn. `frame` is the size of a message with its length, at least 5
/// bytes.
TornWrites two_writers(std::size_t frame, int messages);

/// The largest frame that POSIX promises to write in one piece.
std::size_t atomic_size();

}  // namespace lab::pipe
