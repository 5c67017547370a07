// Parents of every size, kept side by side: touching a GiB takes longer than all that is measured with it, and a size
// must not depend on what was measured before.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "common/multiprocessing/process/process.hpp"
#include "memory.hpp"

namespace lab::start {

/// A process that holds that much touched memory, and starts and joins workers when told to. Lives until this process
/// ends.
class SizedParent {
 public:
  SizedParent(std::size_t mib, Pages pages);
  SizedParent(const SizedParent&) = delete;
  SizedParent& operator=(const SizedParent&) = delete;
  ~SizedParent();
  /// Seconds that `times` repetitions of a job take in it, one after the other: "thread", "fork", "spawn", "forkserver"
  /// start and join a Process by that method; the others are the functions of floors.hpp, by name. Throws
  /// std::runtime_error.
  double seconds(const std::string& job, std::int64_t times);

 private:
  SizedParent(std::size_t mib, Pages pages, std::pair<Descriptor, Descriptor> sockets);
  Descriptor socket_;
  Process process_;
};

/// The one of that size, made when first asked for. Of size 0 each job has its own: a process that has had a thread asks
/// the kernel at every fork how many it has now, which the smallest of forks would feel.
SizedParent& sized_parent(std::size_t mib, Pages pages, const std::string& job);

}  // namespace lab::start
