// Who starts a pool's workers: the fork server forks processes (here it is called the nursery), or they are threads of
// this process.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/multiprocessing/process/forkserver.hpp"
#include "common/multiprocessing/process/process.hpp"
#include "common/os/team.hpp"

namespace lab::pool {

struct Options {
  std::optional<int> processes;  ///< workers, at least 1; absent: one for each CPU the program may use
  Vehicle vehicle = Vehicle::processes;
  std::vector<int> cpus;    ///< worker i is bound to the i-th of them, beginning again at the end; none: they float
  std::string initializer;  ///< a registered task that each worker runs first; empty: none
  std::string initargs;     ///< its arguments: encode(...)
  std::optional<int> tasks_per_child;  ///< a worker is replaced after so many tasks, which are chunks
  const start::Nursery* nursery =
      nullptr;  ///< forks the workers and outlives the pool; null: the pool forks one of its own
};

/// The CPUs this process may run on, or PYTHON_CPU_COUNT.
int allowed_cpus();

class Starter {
 public:
  /// Throws std::invalid_argument for options that make no sense, std::logic_error in a daemon, which may have no
  /// children, std::system_error when there is no nursery to be had. From then on the program ignores SIGPIPE, unless
  /// it had other plans for it: a worker that has died is an error code, not our end.
  explicit Starter(const Options& options);

  /// The next worker's name: "ForkPoolWorker-3".
  std::string next_name();
  /// Starts a worker that runs this entry (register_entry) with copies of the descriptors. To let go of a process kills
  /// it; a thread lives until its entry returns. Throws std::system_error.
  std::unique_ptr<start::Child> start(const std::string& entry, const std::string& name, std::string argument,
                                      const std::vector<int>& descriptors) const;
  /// Whether a worker that has ended went down with the nursery that forked it: then it has no status.
  bool nursery_lost(start::Child& child) const;

 private:
  const Vehicle vehicle_;
  std::unique_ptr<start::Nursery> own_;
  const start::Nursery* nursery_;
  int names_ = 0;
};

}  // namespace lab::pool
