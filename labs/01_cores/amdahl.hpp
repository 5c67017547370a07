// Amdahl's law, and a job that obeys it: one worker does the serial share while the others can only wait.
#pragma once

#include <atomic>
#include <cstdint>

#include "common/kernels/busy_wait.hpp"
#include "common/os/mapping.hpp"

namespace lab::cores {

/// Speed-up of a job with a serial share s (0 to 1) on p workers: 1 / (s + (1 - s) / p) (Amdahl 1967).
inline double amdahl(double s, int p) { return 1 / (s + (1 - s) / p); }

/// What no number of workers exceeds: 1 / s. Infinite for s = 0.
inline double amdahl_ceiling(double s) { return 1 / s; }

/// `counts` of busy_wait, of which `percent` % must be done by worker 0 before anybody may do the rest. Each worker has
/// a copy; what they share is the number of serial parts done so far.
class SerialShareJob {
 public:
  SerialShareJob(std::uint64_t counts, int percent, int workers, std::atomic<std::uint64_t>& serial_parts_done)
      : serial_(counts * percent / 100), parallel_((counts - serial_) / workers), done_(&serial_parts_done) {}

  /// The worker's part of the job, once; returns the counts it worked off.
  std::uint64_t operator()(int worker) {
    ++times_;
    if (worker == 0) {
      busy_wait(serial_);
      done_->fetch_add(1, std::memory_order_release);
    } else {
      // Spinning is right here: the worker has its CPU to itself, and the wait must not cost a wake-up. The team's
      // deadline ends it should worker 0 be lost.
      while (done_->load(std::memory_order_acquire) < times_) {
      }
    }
    busy_wait(parallel_);
    return parallel_ + (worker == 0 ? serial_ : 0);
  }

 private:
  std::uint64_t serial_, parallel_;
  std::atomic<std::uint64_t>* done_;
  std::uint64_t times_ = 0;
};

}  // namespace lab::cores
