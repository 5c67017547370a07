// Readers of this lab's messages against bytes from somebody who wishes them ill: shared by the fuzz target and its
// replay in the tests.
#pragma once

#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/multiprocessing/process/forkserver.hpp"
#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/multiprocessing/process/worker.hpp"
#include "common/os/codec.hpp"

namespace lab::start {

/// Ends the program where a reader took what was not there, or what it should have refused.
inline void demand(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

/// Sends one packet of any content, with that many copies of a descriptor beside it.
inline bool send_packet(int socket, std::string_view content, std::size_t copies, int descriptor) {
  const std::vector<int> descriptors(copies, descriptor);
  return lab::send_packet(socket, std::as_bytes(std::span(content)), descriptors) ==
         static_cast<ssize_t>(content.size());
}

/// Feeds the bytes to a reader of messages, which must answer with a value or refuse: never read beyond its memory,
/// allocate much more than what is there, wait, or keep a descriptor. The first byte says which reader.
inline void read_hostile_bytes(std::string_view bytes) {
  if (bytes.empty()) return;
  const int reader = static_cast<unsigned char>(bytes.front()) % 4;
  bytes.remove_prefix(1);
  bytes = bytes.substr(0, 1 << 15);  // fits into a socket's buffer, so that one thread can play both ends
  auto [ours, theirs] = make_socket_pair(reader == 0 ? SOCK_SEQPACKET : SOCK_STREAM);

  if (reader == 0) {  // the fork server's requests; each packet: how many descriptors, how many bytes, the bytes
    std::size_t descriptors = 0, size = 0;
    for (int packets = 0; bytes.size() >= 2 && packets < 8; bytes.remove_prefix(size), ++packets) {
      descriptors = static_cast<unsigned char>(bytes[0]) % (kMostDescriptors + 2);
      size = std::min<std::size_t>(static_cast<unsigned char>(bytes[1]), bytes.size() - 2);
      bytes.remove_prefix(2);
      demand(send_packet(theirs.get(), bytes.substr(0, size), descriptors, theirs.get()), "a packet was not sent");
      const Request request = receive_request(ours.get());
      demand(!request.end, "a client's packet was taken for end-of-file");
      demand(request.descriptors.size() == descriptors, "descriptors were lost or made up");
      demand((request.error == 0) == (bytes.substr(0, size) == "f" && descriptors > 0), "no request was taken for one");
    }
    theirs.reset();
    demand(receive_request(ours.get()).end, "end-of-file was taken for a request");
  } else if (reader == 1) {  // a worker's order
    write_all(theirs.get(), std::as_bytes(std::span(bytes)));
    theirs.reset();
    try {
      const std::string body = encode(receive_order(ours.get()));
      demand(bytes.substr(sizeof(std::uint32_t)).substr(0, body.size()) == body, "an order was made up");
    } catch (const MessageError&) {
    }
  } else if (reader == 2) {  // a fork server's answers: the pid, then the status
    if (!bytes.empty()) send_packet(theirs.get(), bytes, 1, theirs.get());
    const auto [requests, server] = make_socket_pair(SOCK_SEQPACKET);
    try {
      const auto child = receive_child(std::move(ours), requests.get(), Deadline{});
      demand(child->pid() > 0, "the pid of a worker is no pid");
      const int code = child->take_exit_code().value_or(0);
      demand(code > -128 && code < 256 && !describe_exit(code).empty(), "an exit code is none");
    } catch (const std::system_error& error) {
      demand(error.code().value() > 0 && error.code().value() < 4096, "an error has no number");
    }
  } else {  // the resource tracker's lines, whole and a byte at a time
    static std::FILE* const nobody = std::fopen("/dev/null", "w");
    TrackedNames whole(nobody), pieces(nobody);
    whole.read(bytes);
    for (std::size_t at = 0; at < bytes.size(); ++at) pieces.read(bytes.substr(at, 1));
    for (const Resource type : {Resource::shared_memory, Resource::semaphore}) {
      demand(whole.of(type) == pieces.of(type), "what is tracked depends on how its line arrived");
      for (const std::string& name : whole.of(type)) {
        demand(name.size() < ResourceTracker::kLongestLine && name.find_first_of({"\n", 2}) == name.npos,
               "a name is tracked that cannot be removed");
      }
    }
  }
}

}  // namespace lab::start
