// One waiter, many that write: pipes and processes served by wait_many alone.
#pragma once

namespace lab::pipe {

struct Served {
  int messages = 0;   ///< whole and from the pipe they should come from
  int ends = 0;       ///< pipes read to their end-of-file
  int sentinels = 0;  ///< processes seen to end
  int waits = 0;      ///< calls of wait_many it took
};

/// Starts `writers` processes that share `pipes` pipes out among them, send `messages` through each and end; serves all
/// of them from one thread until nothing is left to wait for, 30 s at most.
Served serve_pipes_and_sentinels(int pipes, int writers, int messages);

}  // namespace lab::pipe
