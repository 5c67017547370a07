// Four ways to start a worker, as small as they can be told: a thread, fork, posix_spawn, a fork server.
//
// A worker runs a function without arguments; what that returns is its exit status. A thread and a forked process can be
// given the function itself: they have the same memory, or a copy. A fresh program has another memory, in which an address
// means nothing. It is the same executable, though, so a name will do: both ends look it up.
#pragma once

#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/os/children.hpp"
#include "common/os/packet.hpp"

namespace lab::four_ways {

using Entry = int (*)();

inline std::map<std::string, Entry> entries;
inline bool name_entry(const std::string& name, Entry entry) { return entries.emplace(name, entry).second; }
inline Entry entry_named(const std::string& name) {
  const auto found = entries.find(name);
  if (found == entries.end()) throw std::invalid_argument("no entry is named '" + name + "'");
  return found->second;
}

/// The least a worker can do.
inline int nothing() { return 0; }
[[maybe_unused]] inline const bool known = name_entry("nothing", nothing);

/// Waits for the end of what fork returned; how Python says it: the status, or minus the signal that killed it.
inline int exit_code(pid_t child) {
  if (child < 0) throw_errno("cannot fork");
  int status = 0;
  if (wait_for_child(child, &status) < 0) throw_errno("cannot wait for a worker");
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// ---- 1. A thread: nothing is copied, nothing loaded.
// TRAP: it shares everything. A crash in it is the end of all; and nobody can kill it.

inline int by_thread(Entry entry) {
  int status = 0;
  std::thread worker([&] { status = entry(); });
  worker.join();
  return status;
}

// ---- 2. Fork: the process twice, both going on from the same line.
// TRAP: a lock that another thread holds right now is locked in the child for ever, for that thread is not in it.
// TRAP: the child has every descriptor of its parent. A pipe whose write end it holds never reads end-of-file.
// TRAP: it does not die with its parent.

inline int by_fork(Entry entry) {
  flush_output();  // else what waits in the buffers is written by both
  const pid_t child = ::fork();
  if (child == 0)
    ::_exit(entry());  // never return or exit(): the parent's destructors and exit handlers are not ours to run
  return exit_code(child);
}

// ---- 3. Spawn: the executable anew. It loads and links itself again, and knows nothing but its arguments.
// TRAP: without become_worker() at the start of main the worker does what the program does, and starts workers of its own:
//       what `if __name__ == "__main__"` is for.
// TRAP: a name that only the parent knows is an error in the worker, where nobody looks. So look it up here first.

inline constexpr const char* kWorker = "--four-ways-worker";
inline constexpr const char* kServer = "--four-ways-server";
inline constexpr int kRequests = 3;  // the number the server finds its socket at

/// Starts a program. With a descriptor: that one is open in it as kRequests. Others are close-on-exec, as all of ours are.
inline pid_t start_program(const char* path, std::vector<const char*> words, int descriptor = -1) {
  words.insert(words.begin(), "worker");
  words.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  if (descriptor >= 0) ::posix_spawn_file_actions_adddup2(&files, descriptor, kRequests);
  pid_t child = 0;
  errno = ::posix_spawn(&child, path, &files, nullptr, const_cast<char**>(words.data()), environ);
  ::posix_spawn_file_actions_destroy(&files);
  if (errno != 0) throw_errno("cannot spawn " + std::string(path));
  return child;
}

inline int by_spawn(const std::string& name) {
  entry_named(name);
  return exit_code(start_program("/proc/self/exe", {kWorker, name.c_str()}));
}

// ---- 4. A fork server: a small fresh program with one thread, which forks whenever it is asked to.
// Its workers are copies of *it*: they cost what a small process costs, and find no lock held. A request is one packet:
// the entry's name, and beside it (SCM_RIGHTS) the server's end of a socket for the answers, pid and exit code.
// TRAP: a worker is the server's child, not the client's: it has the environment and the open files of the time when the
//       server started, and the client cannot wait for it.

/// The name and the client's socket; no socket at end-of-file, or for what is no request.
inline std::pair<std::string, Descriptor> receive_request(int socket) {
  std::array<char, 200> name;
  Packet packet = receive_packet(socket, std::as_writable_bytes(std::span(name)));
  if (packet.size <= 0 || packet.descriptors.empty()) return {};
  return {std::string(name.data(), static_cast<std::size_t>(packet.size)), std::move(packet.descriptors.front())};
}

inline void tell(const Descriptor& client, int number) {  // if it still listens
  ::send(client.get(), &number, sizeof number, MSG_NOSIGNAL);
}

/// The server's life: until its last client is gone, which is end-of-file.
inline int serve(const Descriptor& requests) {
  struct Running {
    pid_t pid;
    Descriptor ended, client;  // a pidfd, which is readable once the worker has ended; who is to hear of it
  };
  std::vector<Running> running;
  for (;;) {
    std::vector<pollfd> polls{{requests.get(), POLLIN, 0}};
    for (const Running& worker : running) polls.push_back({worker.ended.get(), POLLIN, 0});
    if (::poll(polls.data(), polls.size(), -1) < 0) continue;
    for (std::size_t i = running.size(); i-- > 0;) {
      if (polls[i + 1].revents == 0) continue;
      tell(running[i].client, exit_code(running[i].pid));
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (polls[0].revents == 0) continue;
    auto [name, client] = receive_request(requests.get());
    if (!client) return 0;
    const pid_t child = ::fork();
    if (child == 0) ::_exit(entry_named(name)());  // no lock is held here: the server has one thread
    tell(client, child);
    if (child > 0) running.push_back({child, open_pidfd(child), std::move(client)});
  }
}

class ForkServer {
 public:
  ForkServer() {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    server_ = start_program("/proc/self/exe", {kServer, ""}, theirs.get());
    requests_ = std::move(ours);
  }
  ForkServer(const ForkServer&) = delete;
  ForkServer& operator=(const ForkServer&) = delete;
  ~ForkServer() {
    requests_.reset();  // TRAP: a child forked meanwhile holds a copy, and as long as it lives the server does not end
    exit_code(server_);
  }

  int run(const std::string& name) const {
    entry_named(name);
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    if (send_packet(requests_.get(), std::as_bytes(std::span(name)), std::array{theirs.get()}) < 0)
      throw_errno("cannot ask the fork server");
    theirs.reset();  // the server has it: should it die, we read end-of-file
    std::array<int, 2> pid_and_code{};
    const auto bytes = std::as_writable_bytes(std::span(pid_and_code));
    if (read_full(ours.get(), bytes) < bytes.size()) throw std::runtime_error("the fork server started no worker");
    return pid_and_code[1];
  }

 private:
  pid_t server_ = 0;
  Descriptor requests_;
};

/// Must be the first thing in main: a program that was started as a worker, or as the server, is nothing else.
inline void become_worker(int argc, char** argv) {
  const std::string role = argc == 3 ? argv[1] : "";
  if (role != kWorker && role != kServer) return;
  int status = 1;
  try {
    status = role == kWorker ? entry_named(argv[2])() : serve(Descriptor(kRequests));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  flush_output();
  ::_exit(status);
}

// ---- The floors: the bare calls of each way, doing nothing else.

inline int bare_thread() {
  std::thread([] {}).join();
  return 0;
}
inline int bare_fork() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  return exit_code(child);
}
/// The child borrows the parent's memory, which it may not touch, while the parent stands still.
inline int bare_vfork() {
  const pid_t child = ::vfork();
  if (child == 0) ::_exit(0);
  return exit_code(child);
}
/// main returns 0 at once when this is its only argument: what is left is exec and the loader's work.
inline constexpr const char* kReturnAtOnce = "--return-at-once";
inline int bare_spawn_lab() { return exit_code(start_program("/proc/self/exe", {kReturnAtOnce})); }
/// The program that a spawned Process of this lab runs: the workers' code alone, statically linked.
inline int bare_spawn() { return exit_code(start_program(WORKER_PROGRAM, {kReturnAtOnce})); }
/// A program with nothing to load, and empty. What it costs is the kernel's part of a spawn.
inline int bare_spawn_empty() { return exit_code(start_program(EMPTY_PROGRAM, {})); }
/// bare_fork, and a byte there and back over a Unix socket twice: what a fork server cannot do without.
inline int bare_fork_and_round_trips() {
  static const Descriptor echo = [] {  // who sends every byte back; dies with this process
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    if (fork_child() == 0) {
      leave([&here = theirs, &there = ours] {
        there.reset();
        for (std::array<std::byte, 1> byte; read_full(here.get(), byte) == 1;) write_all(here.get(), byte);
      });
    }
    return std::move(ours);
  }();
  std::array<std::byte, 1> byte{};
  for (int trip = 0; trip < 2; ++trip) {
    write_all(echo.get(), byte);
    if (read_full(echo.get(), byte) != 1) throw std::runtime_error("the echo does not answer");
  }
  return bare_fork();
}

}  // namespace lab::four_ways
