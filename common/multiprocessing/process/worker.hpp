// What every worker process does, however it was started: settle in, run the entry it was told by name, map what comes
// of it to an exit status, leave.
//
// Work is named, never pointed to: a function's address means nothing in another program, and a wrong one would jump
// anywhere. Both ends are the same executable, so both know the same names.
#pragma once

#include <csignal>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "common/os/descriptor.hpp"

namespace lab::start {

/// What a worker runs. `argument` is whatever the parent passed, mostly encode()d values; `descriptors` are open here
/// and belong to the worker: move out what is to outlive the call. What it returns becomes the worker's exit status, 0
/// to 255.
using Entry = int (*)(std::string_view argument, std::span<Descriptor> descriptors);

struct UnknownEntry : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// Gives an entry its name; for namespace scope, in a file the program is sure to link (its main.cpp):
/// `const bool known = lab::start::register_entry("count", count);`. Throws std::invalid_argument for a name taken by
/// another.
bool register_entry(const std::string& name, Entry entry);

/// Throws UnknownEntry; the sentence lists the names there are.
[[gnu::hot]] Entry find_entry(const std::string& name);

/// What a worker is told.
struct Order {
  std::string entry, argument;
  std::string name;      ///< of the worker, for reports: "Process-1"
  std::string identity;  ///< what the names of its own children begin with: "1", then "1:1", "1:2"
  bool daemon = false;
  std::int64_t parent = 0;  ///< pid of the process that asked for it, which need not be the one that forked it
  std::string parent_name;
  auto members() { return std::tie(entry, argument, name, identity, daemon, parent, parent_name); }
};

/// Thrown by an entry to end its worker, as sys.exit does: with a status, or with a text for stderr and status 1.
struct Exit {
  Exit(int with_status = 0) : status(with_status) {}
  Exit(std::string words) : status(1), text(std::move(words)) {}
  int status;
  std::string text;
};

/// Who the calling process is. In the process that nobody ordered: "MainProcess", no daemon, parent 0.
const Order& self();

/// Holds back, as long as it lives, the signals that may reach a worker between its fork and its settling in: they must
/// not be lost to what its parent does about them.
struct HeldSignals {
  HeldSignals();
  ~HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  sigset_t before;  ///< this thread's signal mask
};

/// Runs the order's entry, which may have been looked up already, and returns the exit status, 0 to 255: what the entry
/// returned; 1 when it threw or nobody registered it (a sentence goes to stderr).
[[gnu::hot]] int run_entry(const Order& order, std::span<Descriptor> descriptors, Entry entry = nullptr);

/// Runs the order likewise and ends the process with that status, or with 1 when SIGINT came, as an uncaught
/// KeyboardInterrupt has it. For a child that has just been forked or exec'ed, its stdin /dev/null; the signal mask
/// becomes `mask`, if given.
[[noreturn, gnu::hot]] void work_off(const Order& order, std::span<Descriptor> descriptors,
                                     const sigset_t* mask = nullptr, Entry entry = nullptr);

/// How long anybody waits for the other's part of a start, which takes milliseconds.
inline constexpr auto kPatience = std::chrono::seconds(10);

/// Sends a frame on a socket. Throws std::system_error: EPIPE for a reader that has vanished (never a signal), ETIMEDOUT
/// for one that has not taken it within kPatience.
void send_order(int socket, const Order& order);
/// Throws MessageError for what is no order, also for end-of-file; std::system_error (ETIMEDOUT) when it has not come
/// within kPatience.
[[gnu::hot]] Order receive_order(int socket);

/// /dev/null for reading, and such a descriptor made this process's stdin. Two steps, for to look the name up takes longer
/// than all else a forked worker does before its entry: whoever forks many looks it up once. Throw std::system_error.
Descriptor open_null();
[[gnu::hot]] void make_stdin(const Descriptor& null);

/// Closes every descriptor from 3 up but these.
void close_all_but(std::vector<int> kept);

/// Threads alive in this process.
int threads_alive();

}  // namespace lab::start
