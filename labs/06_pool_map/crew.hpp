// The engine under both pools: the workers, what each has been sent, what waits to be sent, and one thread that takes
// in replies, calls back, feeds and replaces workers. CPython has three threads for this; a reply that passes through
// two costs twice the round trip.
#pragma once

#include <deque>
#include <map>
#include <thread>

#include "results.hpp"
#include "starter.hpp"

namespace lab::pool {

/// close(), terminate() or broken workers: the sentence says which.
struct NotRunning : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a pool does in the places where CPython's has a trap. This is CPython's way; the repairs override it.
struct Conduct {
  virtual ~Conduct() = default;
  virtual int default_size() const;
  virtual std::size_t chunk_size(std::ptrdiff_t asked) const;
  virtual std::size_t read_ahead() const;
  virtual bool worker_catches_all() const;
  /// The error of a chunk whose worker has died; null: nobody is told.
  virtual std::exception_ptr lost(const std::string& sentence) const;
  /// The error of what was pending at terminate(); null: it stays pending.
  virtual std::exception_ptr terminated() const;
  /// In the result-handler thread, while the exception of a callback or of an undecodable reply is being handled. To
  /// throw it again ends the thread. Returns whether the job is complete.
  virtual bool handler_caught(Job& job, std::size_t chunk) const;
  /// How many workers in a row may fail in their initializer before the pool gives up.
  virtual int failed_starts() const;
};

struct Options {
  int processes = 0;  ///< 0: the conduct's default size
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

  /// Refuses when the pool is not running: NotRunning.
  void check_running() const;
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
  struct Span {  // chunks of one job that wait
    std::shared_ptr<Job> job;
    std::size_t next, end;
  };
  struct Sent {
    std::shared_ptr<Job> job;
    std::size_t chunk;
    std::uint64_t number;  // of the chunk in this worker's life, from 1
    std::size_t bytes;
  };
  struct Worker {
    std::string name;
    Hand hand;
    Descriptor tasks, replies;
    Inbox inbox;              // result-handler thread only
    std::string outbox;       // what the pipe had no room for
    std::size_t flushed = 0;  // of the outbox
    bool wants_room = false;  // epoll watches for it
    std::deque<Sent> sent;    // no reply yet; the front is the one that runs
    std::uint64_t numbers = 0;
    std::size_t bytes = 0, window = 1;
    Deadline last_reply;
    std::string failure;  // what its initializer threw
    bool alive = false;
  };

  void check() const;
  void start(std::size_t at);
  void watch(int fd, std::uint32_t events, std::uint64_t what, int operation);
  void dispatch();
  Worker* least_busy();
  void send(Worker& worker, Span& from);
  void flush(Worker& worker);
  void recall(Worker& worker);

  void handle_results();
  void handle_until_done();
  bool receive(Worker& worker);
  void take_in(Worker& worker, std::string_view frame);
  void deliver(const std::shared_ptr<Job>& job, std::size_t chunk, const Outcome& outcome);
  void bury(Worker& worker, std::size_t at);
  void break_down(const std::string& sentence);
  void abandon_all(const std::exception_ptr& error);
  void stop_workers();
  void wake() const;

  const Options options_;
  const std::unique_ptr<Conduct> conduct_;
  mutable std::mutex mutex_;  // guards what follows, but for inboxes
  std::condition_variable finished_;
  State state_ = State::init;
  std::string broken_;  // why nothing can be submitted any more
  std::unique_ptr<Starter> starter_;
  std::vector<Worker> workers_;
  int names_ = 0, failed_starts_ = 0;
  std::deque<Span> queue_;
  std::map<std::uint64_t, std::shared_ptr<Job>> jobs_;  // CPython calls it the cache
  std::uint64_t ids_ = 0;
  bool handler_done_ = false, handler_died_ = false;
  Descriptor epoll_, wake_;
  std::thread handler_;
};

}  // namespace lab::pool
