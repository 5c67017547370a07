// Who is whose child? A small family, started by all methods, which introduces itself.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <tuple>
#include <vector>

#include "common/multiprocessing/process/process.hpp"
#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/os/message.hpp"

namespace lab::start {

struct Member {
  std::string name, method, asked_by;
  std::int64_t pid = 0, parent = 0;
  auto members() { return std::tie(name, method, asked_by, pid, parent); }
};

// Introduces itself on the pipe, perhaps with a child of its own.
inline int introduce(std::string_view argument, std::span<Descriptor> out) {
  const auto [method, with_child] = decode<std::tuple<std::string, bool>>(argument);
  send_message(out[0].get(), encode(Member{self().name, method, self().parent_name, ::getpid(), ::getppid()}));
  if (!with_child) return 0;
  Process child(Method::fork, "introduce", encode(std::tuple("fork", false)), {out[0].get()});
  child.start();
  child.join();
  return 0;
}
[[maybe_unused]] inline const bool introduces = register_entry("introduce", introduce);

inline std::string branch(const std::vector<Member>& members, std::int64_t parent, const std::string& indent) {
  std::string text;
  for (const Member& m : members) {
    if (m.parent != parent) continue;
    const std::string line = fmt::format("{}{:<{}}", indent, m.name, 30 - indent.size());
    text +=
        fmt::format("{} {:<11} pid {:<8} parent {:<8} asked for by {}\n", line, m.method, m.pid, m.parent, m.asked_by);
    text += branch(members, m.pid, indent + "  ");
  }
  return text;
}

/// Starts workers by each method, and workers of workers, and returns the tree they make: name, pid, the parent's pid
/// as the kernel has it, and who asked for it.
inline std::string family_tree() {
  auto [reader, writer] = make_pipe();  // a message is far below what a pipe takes in one piece: none is torn
  for (const Method method : {Method::fork, Method::spawn, Method::forkserver})
    Process(method, "introduce", encode(std::tuple(to_string(method), true)), {writer.get()}).start();
  writer.reset();
  const std::string& main = self().name;
  const std::int64_t pid = ::getpid();
  std::vector<Member> members{{main, "", "you", pid, ::getppid()},
                              {"ForkServer", "spawn", main, fork_server_pid(), pid},
                              {"ResourceTracker", "spawn", main, ResourceTracker::shared().pid(), pid}};
  const Deadline deadline = Clock::now() + std::chrono::seconds(20);
  while (const auto message = receive_message(reader.get(), kMessageLimit, deadline))  // until the last has ended
    members.push_back(decode<Member>(*message));
  return branch(members, ::getppid(), "");
}

}  // namespace lab::start
