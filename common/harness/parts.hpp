// A full run measures in several fresh processes: addresses and caches differ from one to the next, and so does what
// they do to a time, which no number of rounds in one process averages out.
#pragma once

#include <string>

#include "common/harness/rounds.hpp"

namespace lab {

/// Runs this program anew, with the option --part added, once for each part of the rounds, and collects what they send.
/// Throws WorkerError when a part fails.
Outcome measure_in_parts(int rounds, int argc, char** argv);

/// What --part says: "fd,rounds,label".
struct Part {
  explicit Part(const std::string& option);
  int fd, rounds;
  std::string label;  ///< "part 2 of 4"
};

/// Sends a part's outcome to the program that started it.
void send_part(int fd, const Outcome& outcome);

}  // namespace lab
