// multiprocessing.Pool, sturdy: eight ways to hand work to a fixed number of workers, which are processes or threads.
//
//               one task       all of an input, results together     results one by one
//   waits       apply          map, starmap
//   returns     apply_async    map_async, starmap_async              imap, imap_unordered
//
//   int square(int x) { return x * x; }
//   const bool known = register_task("square", square);              // work is named, never pointed to
//
//   start::Nursery nursery;                                          // first thing in main: it forks the workers
//   Pool pool({.processes = 4, .nursery = &nursery});                // .initializer = "a task", .initargs = encode(1)
//   pool.apply<int>("square", 3);                                    // the type is what the task returns
//   pool.map<int>("square", numbers, 100);                           // chunks of 100; unasked, four chunks a worker
//   for (int x : pool.imap<int>("square", numbers, 100)) ...         // in order, while later ones still run
//   auto later = pool.map_async<int>("square", numbers);             // later.ready(), later.get(5s)
//   pool.close(), pool.join();                                       // else leaving the scope terminates
//
// A worker that dies fails its own task (WorkerLost) and is replaced; terminate() answers what is pending (Terminated);
// what cannot be decoded, and what a callback throws, harms nobody else. CPython's traps: labs/06_pool_map/pool.hpp.
#pragma once

#include "engine.hpp"
#include "methods.hpp"

namespace lab::pool {

/// The eight methods (methods.hpp) may also be called from a callback, which must not wait. An imap is read at most 64
/// chunks ahead of who takes its results, and let go of when they are dropped. In a process that is forked from the
/// pool's all is refused (NotRunning), but to leave the pool's scope.
class Pool : public Methods {
 public:
  /// Starts the workers. From then on the program ignores SIGPIPE, unless it had other plans for it. Throws
  /// std::invalid_argument for options that make no sense; std::system_error when a worker cannot be started, after
  /// ending those that were.
  explicit Pool(const Options& options = {}) : engine_(Engine::make(options)) {}
  /// terminate(), not close() and join(): leaving the scope ends what is still running. A task in a thread, and the
  /// reading of an input, are waited for.
  ~Pool() { Engine::let_go(std::move(engine_)); }
  Pool(const Pool&) = delete;

  /// No more work is taken; what was submitted is done. Then the workers end by themselves.
  void close() { engine_->close(); }
  /// Ends the workers, whatever they are doing (SIGTERM, after 2 s SIGKILL); a thread cannot be ended and finishes its
  /// task. What is pending fails with Terminated.
  void terminate() { engine_->terminate(); }
  /// Waits until all is done after close() or terminate(), and the workers have ended; false when the time is over
  /// first. The inputs of all imaps are then read to their ends, whoever may take the results.
  bool join(const Timeout& timeout = {}) { return engine_->join(timeout); }

  /// Waits until each worker has run its initializer; false when the time is over first. For who measures: nothing else
  /// need wait.
  bool wait_until_ready(const Timeout& timeout) const { return engine_->wait_until_ready(timeout); }

  int size() const { return engine_->size(); }
  std::vector<pid_t> pids() const { return engine_->pids(); }  ///< of the workers as they are now

 private:
  std::size_t chunk_size(std::optional<std::ptrdiff_t> asked, std::size_t items) const override {
    if (asked && *asked < 1) throw std::invalid_argument("the chunk size must be at least 1");
    return asked ? static_cast<std::size_t>(*asked) : default_chunk_size(items, size());
  }
  void submit(const std::shared_ptr<Job>& job, std::size_t chunks) override { engine_->submit(job, chunks); }
  void submit_unread(const std::shared_ptr<Job>& job, const Read& read) override { engine_->submit_unread(job, read); }

  std::shared_ptr<Engine> engine_;
};

}  // namespace lab::pool
