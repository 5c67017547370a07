// Readers of messages against bytes from somebody who wishes them ill: shared by the fuzz target and its replay in the
// tests.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/multiprocessing/pipe/ring.hpp"

namespace lab::pipe {

/// Feeds the bytes to every reader of messages, which must answer with a value or a sentence: never read beyond its
/// memory, allocate much more than what is there, or wait for long. The first byte says which reader.
inline void read_hostile_bytes(std::string_view bytes) {
  constexpr std::size_t kMaximum = 1 << 16;
  constexpr auto kSoon = std::chrono::milliseconds(0);
  if (bytes.empty()) return;
  const int reader = static_cast<unsigned char>(bytes.front()) % 5;
  bytes.remove_prefix(1);
  bytes = bytes.substr(0, 1 << 15);  // fits into a socket's buffer, so that one thread can play both ends
  try {
    if (reader <= 2) {  // a stream of messages, then end-of-file
      auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
      write_all(theirs.get(), std::as_bytes(std::span(bytes)));
      theirs.reset();
      Connection end(std::move(ours), true, reader == 1);
      std::array<std::byte, 64> small{};
      while (true) {
        if (reader == 0) end.recv_bytes(kMaximum);
        if (reader == 1) end.recv<std::map<std::string, std::string>>(kMaximum);
        if (reader == 2) end.recv_bytes_into(small);
      }
    } else {  // a ring whose memory, positions included, the peer has filled at will
      Ring ring(1 << 10, reader == 3 ? Waiting::blocking : Waiting::spinning);
      RingReceiver receiver(ring);
      RingSender sender(ring);
      std::memcpy(static_cast<void*>(&ring.words()), bytes.data(),
                  std::min(bytes.size(), sizeof(RingWords) + ring.capacity()));
      try {
        while (true) receiver.recv(kSoon, kMaximum);
      } catch (const std::runtime_error&) {
      }
      for (int i = 0; i < 100; ++i) sender.send("a message of the fuzz target", kSoon);
    }
  } catch (const std::runtime_error&) {
  }  // its sentence: what a reader is asked for
}

}  // namespace lab::pipe
