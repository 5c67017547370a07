// The same Pool with CPython's traps repaired: all that differs is this Conduct.
#pragma once

#include "pool.hpp"

namespace lab::pool {

/// A task's worker died. The sentence names worker, pid, signal or status, and task.
struct WorkerLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The pool was terminated before the result was there.
struct Terminated : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct SturdyConduct : Conduct {
  int default_size() const override;
  std::size_t chunk_size(std::ptrdiff_t asked) const override;
  std::size_t read_ahead() const override { return 64; }
  bool worker_catches_all() const override { return true; }
  std::exception_ptr lost(const std::string& sentence) const override {
    return std::make_exception_ptr(WorkerLost(sentence));
  }
  std::exception_ptr terminated() const override {
    return std::make_exception_ptr(Terminated("the pool was terminated before this result was there"));
  }
  bool handler_caught(Job& job, std::size_t chunk) const override;
  int failed_starts() const override { return 3; }
};

class SturdyPool : public Pool {
 public:
  explicit SturdyPool(Options options = {}) : Pool(std::move(options), std::make_unique<SturdyConduct>()) {}
};

}  // namespace lab::pool
