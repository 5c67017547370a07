// Who removes the names of shared memory segments and semaphores when everybody who used them has been killed? A
// process of its own, which holds nothing but the list: the other processes of the program write to its socket, and when
// the last of them is gone, or the one that started it has stopped it, it reads end-of-file and removes what was not
// taken off the list.
#pragma once

#include <cstdio>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "common/os/children.hpp"
#include "common/os/descriptor.hpp"
#include "common/os/per_process.hpp"

namespace lab::start {

enum class Resource { shared_memory, semaphore };  ///< named by shm_open, by sem_open

/// One tracker for a whole tree of processes, started when first needed. What it holds is a set: a name registered
/// twice and unregistered once is forgotten. It speaks lines of text, "REGISTER:/name:shared_memory\n", of at most 512
/// bytes, so that each write to the socket is atomic and no lock between the processes is needed.
class ResourceTracker {
 public:
  static constexpr const char* kEntry = "resource_tracker";
  static constexpr std::size_t kLongestLine = 512;

  /// How it ended, as its exit status: nothing left, names were left and are removed, a name could not be removed, it
  /// was told what makes no sense (such as to forget what it did not know).
  enum End { clean = 0, leaks = 1, unlink_failed = 2, protocol_error = 3 };

  ResourceTracker() = default;
  ResourceTracker(const ResourceTracker&) = delete;
  ResourceTracker& operator=(const ResourceTracker&) = delete;
  ~ResourceTracker() {
    stop();
    mutex_.forget();
  }

  /// That of this program: workers are given its socket, whichever way they are started. (A child forked before it runs,
  /// as in CPython, starts one of its own.)
  static ResourceTracker& shared();

  /// Each starts the tracker when there is none; finding it dead, warns on stderr and starts another, which knows
  /// nothing of the names so far. Throw std::invalid_argument for a line beyond 512 bytes or a name with a newline,
  /// std::system_error.
  void add(Resource resource, const std::string& name) { tell("REGISTER", resource, name); }
  void forget(Resource resource, const std::string& name) { tell("UNREGISTER", resource, name); }
  void probe() { send("PROBE:0:noop\n"); }

  /// Our end of its socket, started and alive.
  int descriptor() { return probe(), socket_.get(); }
  /// The same, or -1 when none has been started.
  int running_descriptor() const { return socket_.get(); }
  /// Uses the socket that the parent passed on.
  void adopt(Descriptor socket) { socket_ = std::move(socket); }
  pid_t pid() const { return process_.pid(); }
  /// Closes our end. When this process started it, that ends it, whoever else still holds the socket: its exit status,
  /// or -1 when it takes longer than 5 s. Otherwise -1.
  int stop();

 private:
  void tell(const char* command, Resource resource, const std::string& name);
  void send(const std::string& line);
  void start();

  PerProcess<std::mutex> mutex_;
  Descriptor socket_;  // a socket, since writing to a pipe that nobody reads raises a signal
  ChildProcess process_;
};

/// What a tracker holds: the names it is told of, and what it makes of the bytes that tell it.
class TrackedNames {
 public:
  explicit TrackedNames(std::FILE* listener = stderr) : listener_(listener) {}

  /// Follows the lines as they become whole. One that makes no sense is said and remembered, never followed.
  void read(std::string_view bytes);
  const std::set<std::string>& of(Resource type) { return names_[type]; }
  /// Removes what is left from the system, with one warning a type. The exit status of the tracker.
  ResourceTracker::End remove_all();

 private:
  void obey(std::string_view line);
  void tell(const std::string& sentence) const;
  void complain(std::string_view line, const char* why);

  std::FILE* listener_;
  std::string line_;  // as much as has come of it; of a longer one than is allowed, the beginning
  std::map<Resource, std::set<std::string>> names_;
  ResourceTracker::End end_ = ResourceTracker::clean;
};

}  // namespace lab::start
