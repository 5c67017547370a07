// The engine under both pools: the workers, what waits to be sent to them, and one thread that takes in replies, calls
// back, feeds and replaces workers. CPython has three threads for this, and each hand-over between them is a wake-up more
// in a task's round trip.
//
//    crew.cpp      from start to end       dispatch.cpp   which worker is sent what
//    handler.cpp   what the thread does    burial.cpp     a worker has died
#pragma once

#include <unistd.h>

#include <map>
#include <thread>

#include "ahead.hpp"
#include "conduct.hpp"
#include "starter.hpp"

namespace lab::pool {

/// close(), terminate() or broken workers: the sentence says which.
struct NotRunning : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::optional<int> processes;  ///< workers, at least 1; absent: the conduct's default size
  Vehicle vehicle = Vehicle::processes;
  std::string initializer;                  ///< a registered task; empty: none
  std::string initargs;                     ///< its arguments: encode(...)
  std::optional<int> tasks_per_child;       ///< a worker is replaced after so many tasks, which are chunks
  const start::Nursery* nursery = nullptr;  ///< forks the workers; null: the pool forks one of its own
};

class Crew {
 public:
  /// Starts the workers. Throws std::invalid_argument for options that make no sense, std::system_error when one cannot
  /// be started.
  Crew(Options options, std::unique_ptr<Conduct> conduct);
  ~Crew();  ///< terminates

  /// Refuses when the pool is not running, or in a process forked from its own: NotRunning.
  void check_running() const;
  /// Makes the job known and queues its chunks, but for those that were refused: they come back with these errors. Throws
  /// NotRunning.
  void submit(const std::shared_ptr<Job>& job, std::size_t chunks,
              const std::map<std::size_t, std::exception_ptr>& refused);
  /// Makes the job known; its chunks follow by give(). Throws NotRunning.
  void enter(const std::shared_ptr<Job>& job);
  /// Queues chunks from <= number < to, and writes to idle workers itself.
  void give(const std::shared_ptr<Job>& job, std::size_t from, std::size_t to);
  /// The job is complete: forgets it.
  void leave(const Job& job);

  void close();
  void terminate();
  bool join(Timeout timeout);  ///< false when the time is over. Throws std::logic_error while running.

  int size() const { return static_cast<int>(workers_.size()); }
  std::vector<pid_t> pids() const;
  const Conduct& conduct() const { return *conduct_; }

 private:
  enum class State { init, run, close, terminate };
  // What epoll tells with an event: a worker's place and which of its descriptors, or the wake-up.
  enum Source : std::uint64_t { replies, tasks, sentinel, sources };
  static constexpr std::uint64_t kWakeUp = UINT64_MAX;
  static constexpr std::chrono::milliseconds kRetry{200};
  struct Worker {
    std::string name;
    Hand hand;
    Descriptor replies;
    Inbox inbox;  // result-handler thread only
    Ahead ahead;
    std::string failure;  // what its initializer threw
    bool alive = false;
  };

  void check() const;
  void start(std::size_t at);
  void watch(int fd, std::uint32_t events, std::uint64_t what);
  void unwatch(Descriptor& descriptor);
  void dispatch();
  Worker* least_busy();

  void handle_results();
  void handle_until_done();
  bool receive(Worker& worker);
  void take_in(Worker& worker, std::string_view frame);
  void deliver(const std::shared_ptr<Job>& job, std::size_t chunk, const Outcome& outcome);
  void bury(Worker& worker, std::size_t at);
  std::string replace(Worker& worker, std::size_t at, const std::string& how, bool killed);
  void fill_vacancies();
  void report_lost(const Sent& lost, const std::string& how);
  void break_down(const std::string& sentence);
  void abandon_all(const std::exception_ptr& error);
  void stop_workers();
  void wake() const;

  const Options options_;
  const std::unique_ptr<Conduct> conduct_;
  const pid_t owner_ = ::getpid();
  mutable std::mutex mutex_;  // guards what follows, but for inboxes
  std::condition_variable finished_;
  State state_ = State::init;
  std::string broken_;  // why nothing can be submitted any more
  std::unique_ptr<Starter> starter_;
  std::vector<Worker> workers_;
  int names_ = 0;
  int failed_starts_ = 0, killed_starts_ = 0;  // before they were ready, since the last that was
  Deadline retry_ = Deadline::max();           // when to try again to start the workers that are missing
  std::deque<Span> queue_;
  std::map<std::uint64_t, std::shared_ptr<Job>> jobs_;  // CPython calls it the cache
  std::uint64_t ids_ = 0;
  bool handler_done_ = false, handler_died_ = false;
  Descriptor epoll_, wake_;
  std::thread handler_;
};

}  // namespace lab::pool
