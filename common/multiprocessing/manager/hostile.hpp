// Both ends of a manager's socket against bytes from somebody who wishes them ill: shared by the fuzz target and its replay in
// the tests.
#pragma once

#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "common/multiprocessing/manager/handshake.hpp"
#include "common/multiprocessing/manager/server.hpp"
#include "common/os/message.hpp"

namespace lab::manager {

/// Ends the program where somebody was believed who should not have been.
inline void demand(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

/// Feeds the bytes to whoever reads at a manager's socket; he must answer or refuse: never read beyond his memory, allocate
/// much more than what is there, wait, or let anybody in. The first byte says who reads.
inline void read_hostile_bytes(std::string_view bytes) {
  if (bytes.empty()) return;
  const int reader = static_cast<unsigned char>(bytes.front()) % 4;
  bytes.remove_prefix(1);
  bytes = bytes.substr(0, 1 << 15);  // fits into a socket's buffer, so that one thread can play both ends
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const auto refused = [&, &socket = ours](auto part) {
    try {
      part(socket.get(), "key", Clock::now() + std::chrono::seconds(10));
    } catch (const AuthenticationError&) {
      return true;
    } catch (const MessageError&) {
      return true;
    } catch (const std::system_error& error) {
      return error.code() != std::errc::timed_out;
    }
    return false;
  };
  if (reader < 2) {  // before the handshake: a server, a client
    write_all(theirs.get(), std::as_bytes(std::span(bytes)));
    ::shutdown(theirs.get(), SHUT_WR);
    demand(reader == 0 ? refused(admit_client) : refused(introduce_to_server), "somebody without the key was let in");
  } else if (
      reader ==
      2) {  // after it: a server that knows an object of each type. Each message: two bytes of length, then as many
    Server server("key");
    std::string stream;
    const auto add = [&](std::string_view body) {
      const auto length = static_cast<std::uint32_t>(body.size());
      stream.append(reinterpret_cast<const char*>(&length), sizeof length).append(body);
    };
    add(encode(Hello{.process = 1, .held = {}}));
    for (std::int64_t type = 0; type < 6; ++type)
      add(encode(Request{.object = kServer, .method = Method::create, .arguments = {type}, .released = {}}));
    while (bytes.size() >= 2) {
      const std::size_t size = static_cast<unsigned char>(bytes[0]) + 256u * static_cast<unsigned char>(bytes[1]);
      add(bytes.substr(2, size));
      bytes.remove_prefix(std::min(bytes.size(), 2 + size));
    }
    write_all(theirs.get(), std::as_bytes(std::span(stream)));
    ::shutdown(theirs.get(), SHUT_WR);
    try {
      server.serve_requests(ours.get());
    } catch (const MessageError&) {
    }
    demand(server.connections() == 0, "a connection is left");  // and of objects those that hold each other
    ::shutdown(ours.get(), SHUT_WR);
    for (int replies = 0; const auto reply = receive_message(theirs.get());) {
      const auto said = decode<Reply>(*reply);
      demand(++replies > 6 || said.error == ErrorType::none, "an object could not be made");
      demand((said.error == ErrorType::none) == said.sentence.empty(), "a refusal has no sentence");
    }
  } else {  // a client that hears an answer
    try {
      const auto reply = decode<Reply>(bytes);
      demand(encode(reply) == bytes, "a reply was made up");
      if (reply.error != ErrorType::none) throw_error(reply.error, reply.sentence);
    } catch (const std::runtime_error&) {
    }
  }
}

}  // namespace lab::manager
