// What is under a Pool: the workers, what waits to be sent to them, and two threads. The result handler takes in
// replies, completes jobs, calls back, and keeps the workers busy; the worker handler, which may have to wait for the
// fork server, replaces those that have ended. There is no task handler, as CPython has: the caller writes its task to
// an idle worker itself, and that is one wake-up less in a task's round trip. An imap has a thread of its own, which
// reads its input.
//
//    engine.cpp   from start to end, and which worker is sent what         result_handler.cpp
//    pipeline.cpp   several chunks to a worker at once                     worker_handler.cpp   a worker has ended
#pragma once

#include <atomic>
#include <deque>
#include <list>
#include <map>
#include <thread>

#include "common/os/mapping.hpp"
#include "pipeline.hpp"
#include "starter.hpp"

namespace lab::pool {

/// What a reply says about a chunk of this task, where it was an error its own type again.
Outcome outcome_of(const std::string& task, Reply kind, std::string_view rest);
/// Lets a job take in what a chunk came back with, whatever that is: what cannot be decoded is that chunk's error, what
/// a callback throws is said. True once the job is complete.
bool complete_with(Job& job, std::size_t chunk, const Outcome& outcome);

class Engine {
 public:
  /// Starts the workers. Throws std::invalid_argument for options that make no sense, std::system_error when one cannot
  /// be started; then none is left.
  static std::shared_ptr<Engine> make(const Options& options);
  explicit Engine(const Options& options);
  ~Engine();
  /// Terminates it and waits for its threads; where one of them is the caller, the last of them ends it. In a forked
  /// process, which has none of them, it keeps the copy for ever: its locks may be taken by threads that are not there.
  static void let_go(std::shared_ptr<Engine> engine);

  /// Makes the job known and has its chunks run; of none, publishes it. Throws NotRunning.
  void submit(const std::shared_ptr<Job>& job, std::size_t chunks);
  /// The same for chunks that are still to be read, by a thread that the engine waits for. Throws also
  /// std::system_error when there is none to be had.
  void submit_unread(const std::shared_ptr<Job>& job, const Read& read);

  void close();
  void terminate();
  bool join(const Timeout& timeout);  ///< false when the time is over. Throws std::logic_error while running.

  bool wait_until_ready(const Timeout& timeout) const;  ///< false when the time is over
  int size() const { return static_cast<int>(size_); }
  std::vector<pid_t> pids() const;

 private:
  enum class State { run, close, terminate };
  // What epoll tells with an event: a worker's place and which of its descriptors, or the wake-up.
  enum Source : std::uint64_t { replies, tasks, sentinel, sources };
  static constexpr std::uint64_t kWakeUp = UINT64_MAX;
  struct Worker {
    std::string name;
    std::unique_ptr<start::Child> child;
    Descriptor replies;
    Inbox inbox;  // result handler only
    Pipeline pipeline;
    std::string failure;  // what its initializer threw
    std::string end;      // how the last one in this place has ended
    bool alive = false, sentinel_sent = false;
    int signalled = 0;
  };

  struct Reader {
    std::jthread thread;
    std::shared_ptr<std::atomic<bool>> done;
  };

  // With the mutex held:
  bool over() const { return state_ == State::terminate || (state_ == State::close && jobs_.empty()); }
  std::size_t living() const;
  void install(std::size_t at, Worker worker);
  void dispatch();
  Worker* least_busy();
  bool spent(const Worker& worker) const;
  void send_sentinels();
  std::string why_broken(const Worker& worker, std::size_t at, const std::string& how, bool killed);

  // Without:
  void add_job(const std::shared_ptr<Job>& job);
  void queue_chunks(const std::shared_ptr<Job>& job, std::size_t from, std::size_t to);
  void forget(const Job& job);
  Worker start_worker(std::size_t at);
  void handle_results();
  void handle_until_done();
  bool receive(Worker& worker);
  void take_in(Worker& worker, std::string_view frame);
  void deliver(const std::shared_ptr<Job>& job, std::size_t chunk, const Outcome& outcome);
  void deliver_what_was_refused();
  void abandon_all(const std::exception_ptr& error);
  bool stop_workers(Deadline& kill_at);
  void release_workers();
  void reap(Worker& worker, std::size_t at);
  void handle_workers();
  bool is_own_thread() const { return this_thread().pool == number_; }

  Begun& begun(std::size_t at) const { return reinterpret_cast<Begun*>(memory_.data())[at]; }
  void watch(int fd, std::uint32_t events, std::uint64_t what) const;
  void unwatch(int fd) const;
  void wake() const;

  const Options options_;
  const pid_t owner_;
  const std::uint64_t number_;  // of this pool among the program's
  const std::size_t size_;
  Starter starter_;
  Descriptor memory_file_;
  Mapping memory_;  // a Begun for each worker
  Descriptor epoll_, wake_;

  mutable std::mutex mutex_;  // guards what follows, but for inboxes
  std::condition_variable changed_;
  State state_ = State::run;
  std::string broken_;  // why nothing can be submitted any more
  std::vector<Worker> workers_;
  bool starting_ = false;                      // the worker handler is about to add a worker
  int failed_starts_ = 0, killed_starts_ = 0;  // before they were ready, since the last that was
  std::deque<Waiting> queue_;
  std::deque<std::pair<std::shared_ptr<Job>, std::size_t>> refused_;  // chunks that cannot be sent
  std::map<std::uint64_t, std::shared_ptr<Job>> jobs_;                // CPython calls it the cache
  std::uint64_t ids_ = 0;
  bool done_ = false;  // all has been answered, and the workers have ended

  std::mutex readers_mutex_;
  bool closed_to_readers_ = false;
  std::list<Reader> readers_;
  std::thread result_handler_;
};

}  // namespace lab::pool
