// A pool's worker: the same loop in a process and in a thread.
#pragma once

#include <string>

#include "wire.hpp"

namespace lab::pool {

/// What a worker is told when it is started. Travels through the codec.
struct WorkerPlan {
  std::string name;          ///< "ForkPoolWorker-3"
  std::string initializer;   ///< name of a task to run first; empty: none
  std::string initargs;      ///< its arguments, encoded
  int tasks = 0;             ///< end after that many chunks; 0: no limit
  bool catches_all = false;  ///< whatever a task throws is that task's error, SystemExit too
  auto members() { return std::tie(name, initializer, initargs, tasks, catches_all); }
};

/// Reads chunks from `tasks` and writes replies to `replies` until end-of-file or its last task. Each reply is written
/// before the next chunk is begun: whatever kills the worker, at most one chunk is affected. Returns the worker's exit
/// status. Throws MessageError for bytes that are no chunk, std::system_error.
int serve(const WorkerPlan& plan, int tasks, int replies, Begun& begun);

/// The name of the worker that runs the calling task; "MainProcess" elsewhere.
const std::string& current_worker();

}  // namespace lab::pool
