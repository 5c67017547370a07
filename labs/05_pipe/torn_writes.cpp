#include "torn_writes.hpp"

#include <limits.h>
#include <sys/wait.h>

#include <array>
#include <string>

#include "common/os/team.hpp"
#include "pipe.hpp"

namespace lab::pipe {

std::size_t atomic_size() { return PIPE_BUF; }

TornWrites two_writers(std::size_t frame, int messages) {
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

}  // namespace lab::pipe
