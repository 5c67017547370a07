// Two writers on one end without a lock: how messages tear, and up to which size they do not.
#pragma once

#include <fmt/format.h>
#include <limits.h>

#include <array>
#include <cstddef>
#include <string>

#include "common/harness/claims.hpp"
#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/os/team.hpp"

namespace lab::pipe {

/// The largest frame that POSIX promises to write in one piece.
inline constexpr std::size_t kAtomic = PIPE_BUF;

struct TornWrites {
  int whole = 0;      ///< messages that came as one writer had sent them
  bool torn = false;  ///< a message came mixed with another, or the stream could not be followed any more
};

/// Two processes send `messages` messages each over one end of a pipe that both have inherited, each of just one letter
/// of their own; the reader takes them until one is torn. `frame` is the size of a message with its length, at least 5
/// bytes.
inline TornWrites two_writers(std::size_t frame, int messages) {
  constexpr std::size_t kLength = 4;
  auto [receiver, sender] = one_way();
  std::array<pid_t, 2> writers{};
  for (int writer = 0; writer < 2; ++writer) {
    writers[writer] = fork_child();
    if (writers[writer] != 0) continue;
    leave([&, &end = sender, &other = receiver] {
      other.close();  // or the pipe would still have a reader when the real one has gone
      const std::string message(frame - kLength, writer == 0 ? 'a' : 'b');
      try {
        for (int i = 0; i < messages; ++i) end.send_bytes(message);
      } catch (const std::system_error&) {
      }  // the reader has seen enough
    });
  }
  sender.close();
  TornWrites seen;
  try {
    while (!seen.torn && receiver.poll(std::chrono::seconds(10))) {
      const std::string message = receiver.recv_bytes();
      seen.torn = message.size() != frame - kLength || message.find_first_not_of(message.front()) != std::string::npos;
      seen.whole += !seen.torn;
    }
  } catch (const EndOfFile&) {
  } catch (const MessageError&) {  // letters where a length should be, or too few of them
    seen.torn = true;
  }
  receiver.close();
  for (const pid_t writer : writers) wait_for_child(writer);
  return seen;
}

/// Small messages, then large ones until one is torn.
inline Seen two_writers_tear() {
  const TornWrites small = two_writers(kAtomic, 2000);
  TornWrites large;
  const Deadline deadline = Clock::now() + std::chrono::seconds(2);
  while (!large.torn && Clock::now() < deadline) large = two_writers(5 * kAtomic, 500);
  return {.holds = large.torn && !small.torn,
          .what = fmt::format("{} messages of {} bytes whole{}; of {} bytes {} whole {}", small.whole, kAtomic,
                              small.torn ? " before one was torn" : "", 5 * kAtomic, large.whole,
                              large.torn ? "before one was torn" : "and none torn in 2 s"),
          .known = large.torn || small.torn};
}

}  // namespace lab::pipe
