// A fork server whose workers are started by name and asked for their end, for tests.
#pragma once

#include <unistd.h>

#include "common/multiprocessing/process/forkserver.hpp"

namespace lab::start {

struct TestWorker {
  std::unique_ptr<Child> child;
  pid_t pid = child->pid();
  std::optional<int> exit_code(Deadline deadline) const {
    child->wait(deadline);
    return child->take_exit_code();
  }
};

struct TestNursery : Nursery {
  using Nursery::Nursery;
  TestWorker start(const std::string& entry, std::string argument = "", std::span<const int> descriptors = {}) const {
    return {Nursery::start({.entry = entry,
                            .argument = std::move(argument),
                            .name = entry,
                            .parent = ::getpid(),
                            .parent_name = self().name},
                           descriptors)};
  }
};

}  // namespace lab::start
