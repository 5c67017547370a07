// Who starts a pool's workers: the nursery of lab 04 forks processes, or they are threads of this process. Either way a
// worker has two pipe ends and its words in shared memory, and runs serve().
#pragma once

#include <sys/types.h>

#include <memory>

#include "common/multiprocessing/process/forkserver.hpp"
#include "common/os/team.hpp"
#include "worker.hpp"

namespace lab::pool {

/// A started worker: its pid (of a thread its thread id), and a sentinel that is readable once it has ended.
using Hand = start::Forked;

class Starter {
 public:
  virtual ~Starter() = default;
  /// The pipe ends become the worker's own; its words lie in the memory at place `at`. Throws std::system_error.
  virtual Hand start(const WorkerPlan& plan, Descriptor tasks, Descriptor replies, std::size_t at) = 0;
  /// What an ended worker's sentinel says: its status, -N for signal N; none before the deadline when it has not ended.
  virtual std::optional<int> exit_code(const Hand& hand, Deadline deadline) = 0;
  /// Whether an ended worker went down with the nursery that forked it, which was lost: then it has no status.
  virtual bool nursery_lost(const Hand& hand) = 0;
  /// Sends a running worker a signal; a thread gets none. False when that cannot be done.
  virtual bool signal(const Hand& hand, int number) = 0;
  /// The words of the worker at this place.
  virtual Begun& begun(std::size_t at) = 0;
};

/// Processes are forked by `nursery`, which must outlive the starter; null: by one of its own, forked now.
std::unique_ptr<Starter> make_starter(Vehicle vehicle, std::size_t workers, const start::Nursery* nursery);

}  // namespace lab::pool
