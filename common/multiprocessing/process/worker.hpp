// What every worker process does, however it was started: settle in, run the entry it was told by name, map what comes
// of it to an exit status, leave.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "common/multiprocessing/process/registry.hpp"

namespace lab::start {

/// What a worker is told.
struct Order {
  std::string entry, argument;
  std::string name;      ///< of the worker, for reports: "Process-1"
  std::string identity;  ///< what the names of its own children begin with: "1", then "1:1", "1:2"
  bool daemon = false;
  std::int64_t parent = 0;  ///< pid of the process that asked for it, which need not be the one that forked it
  std::string parent_name;
  auto members() { return std::tie(entry, argument, name, identity, daemon, parent, parent_name); }
  auto members() const { return std::tie(entry, argument, name, identity, daemon, parent, parent_name); }
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

/// Runs the order's entry and returns the exit status, 0 to 255: what the entry returned; 1 when it threw (its sentence goes to
/// stderr).
[[gnu::hot]] int run_entry(const Order& order, std::span<Descriptor> descriptors);

/// Runs the order and ends the process: with what the entry returned; 1 when it threw (the sentence goes to stderr) or
/// when SIGINT came, as an uncaught KeyboardInterrupt has it. For a child that has just been forked or
/// exec'ed, its stdin /dev/null; the signal mask becomes `mask`, if given; an entry nobody registered is a sentence on stderr and status 1.
[[noreturn, gnu::hot]] void work_off(const Order& order, std::span<Descriptor> descriptors,
                                     const sigset_t* mask = nullptr);

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
