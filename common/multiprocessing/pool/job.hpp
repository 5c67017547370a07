// A job is what a call leaves in the parent until its answer is there: it gives out chunks and takes in their replies.
#pragma once

#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "common/os/timeout.hpp"

namespace lab::pool {

/// get() or next() did not have the result in time; nothing is lost, ask again. The package's own error, as in CPython.
struct TimeoutError : std::runtime_error {
  TimeoutError() : std::runtime_error("no result within the timeout") {}
};
/// The pool takes nothing any more, or will not answer: closed, terminated, broken, or another process's. The sentence
/// says which.
struct NotRunning : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// A task's worker died. The sentence names worker, pid, signal or status, and task.
struct WorkerLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The pool was terminated before the result was there.
struct Terminated : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// A callback threw; what it threw is nested. By then the answer itself is known.
struct CallbackError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws NotRunning in a process forked from `owner`: the pool's threads have not been copied, and nobody would
/// answer.
inline void check_owner(pid_t owner) {
  if (::getpid() != owner)
    throw NotRunning("the pool belongs to another process, which this one was forked from: make one of its own");
}

/// What a chunk came back with: its results, encoded one after another, or the error of the task that failed.
struct Outcome {
  std::string_view values;
  std::exception_ptr error;
};

/// One call: its tasks in chunks, and what came back. Chunks are given out and accepted by number, from 0. One thread
/// alone completes it, the pool's result handler; any may wait for it.
class Job {
 public:
  Job(std::string function) : task(std::move(function)) {}
  virtual ~Job() = default;

  struct Chunk {
    std::string_view arguments;  ///< encoded, those of all its items
    std::size_t first = 0, items = 0;
    std::exception_ptr refused;  ///< why it cannot be sent: one of its items cannot be encoded
  };
  virtual Chunk chunk(std::size_t number) const = 0;
  /// Takes in what a chunk came back with; true once the job is complete. Throws MessageError for bytes that are no
  /// such results (the chunk is then still missing) and CallbackError.
  virtual bool accept(std::size_t number, const Outcome& outcome) = 0;
  /// Makes it ready as it is, without calling anybody back.
  virtual void publish() = 0;
  /// Puts this error wherever something is missing and completes the job. Throws CallbackError.
  virtual void abandon(const std::exception_ptr& error) = 0;
  /// No more chunks will be given out: what reads an input for it stops.
  virtual void stop() {}
  /// Somebody waits for its end: what reads an input for it no longer waits for those who take the results.
  virtual void read_on() {}

  const std::string task;
  std::uint64_t id = 0;
  std::thread::id handler;  ///< the thread that completes it

 protected:
  // A copy of the job in a forked child may have been copied while locked.
  std::unique_lock<std::mutex> lock() const {
    std::unique_lock lock(mutex_, std::defer_lock);
    if (!lock.try_lock()) check_owner(owner_), lock.lock();
    return lock;
  }
  template <class Condition>
  bool wait_until(std::unique_lock<std::mutex>& lock, const Timeout& timeout, Condition ready) const {
    if (ready()) return true;
    check_owner(owner_);
    if (timeout) return changed_.wait_until(lock, timeout.deadline(), ready);
    if (std::this_thread::get_id() == handler)
      throw std::logic_error("a callback waits for a result which only its own thread can take in");
    changed_.wait(lock, ready);
    return true;
  }
  const pid_t owner_ = ::getpid();
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
};

/// Reads an input to its end, at most so many chunks ahead of who takes the results, and tells of each chunk; whether
/// that completes the job.
using Read = std::function<bool(std::size_t ahead, const std::function<void(std::size_t chunk)>& give)>;

}  // namespace lab::pool
