// multiprocessing.Pool as CPython builds it: one task pipe that all workers read under a lock, one result pipe that
// they write under another, and three threads. Where CPython has a trap, so has this; each is marked TRAP where it
// stands. The pool to use is in common/multiprocessing/pool.
//
//   caller ──> task queue ──> TASK HANDLER ══ task pipe ══> workers ══ result pipe ══> RESULT HANDLER ──> caller
//                                            one reads at a time      one writes at a time
//   WORKER HANDLER: waits for the end of any worker and starts another in its place
//
// Tasks, chunks, results, and the forking of workers are those of the sturdy pool.
#pragma once

#include <poll.h>
#include <semaphore.h>
#include <sys/eventfd.h>

#include <csignal>
#include <deque>
#include <map>
#include <thread>

#include "common/multiprocessing/pool/methods.hpp"
#include "common/multiprocessing/pool/starter.hpp"
#include "common/multiprocessing/pool/worker.hpp"
#include "common/os/mapping.hpp"
#include "common/os/message.hpp"
#include "common/os/say.hpp"

namespace lab::faithful {

using pool::Job, pool::Options, pool::Outcome;

/// In memory that all workers share. CPython's locks are semaphores, too, and these have no owner: of one who dies
/// holding it nobody takes it back.
struct Locks {
  sem_t reading, writing;
};
struct Held {
  explicit Held(sem_t& with_lock) : lock(with_lock) {
    while (::sem_wait(&lock) != 0) continue;  // a signal came
  }
  ~Held() { ::sem_post(&lock); }
  sem_t& lock;
};

// ---- A worker: the same function in a process and in a thread.

struct Plan {
  std::string name, initializer, initargs;
  int tasks = 0;  // after so many the worker ends; 0: no limit
  auto members() { return std::tie(name, initializer, initargs, tasks); }
};

inline int work(std::string_view argument, std::span<Descriptor> descriptors) {
  const Plan plan = decode<Plan>(argument);
  const int tasks = descriptors[0].get(), results = descriptors[1].get();
  const Mapping memory = Mapping::of(descriptors[2]);
  Locks& locks = *reinterpret_cast<Locks*>(memory.data());
  pool::this_thread().worker = plan.name;
  // TRAP: an initializer that throws ends the worker. It is replaced, the next one fails as well, and so on without
  // end.
  if (!plan.initializer.empty()) pool::run_initializer(plan.initializer, plan.initargs);
  for (int done = 0; plan.tasks == 0 || done < plan.tasks; ++done) {
    std::optional<std::string> task;
    {
      // TRAP: the lock is held over the whole blocking read. A worker that is killed while it waits for a task takes
      // the lock with it, and no other ever reads one again.
      const Held turn(locks.reading);
      task = receive_message(tasks, pool::kFrameLimit);
    }
    if (!task || task->empty()) return 0;  // the parent is gone, or has sent its None
    Decoder in(*task);
    const auto job = in.get<std::uint64_t>(), chunk = in.get<std::uint64_t>();
    const auto name = in.get<std::string>();
    const auto items = in.get<std::uint64_t>();
    Encoder reply;
    reply.put(job), reply.put(chunk);
    // TRAP: what is no ordinary error (sys.exit() in a task) passes through here and ends the worker. Its task has no
    // reply, and get() waits for ever.
    pool::run_chunk(name, items, in, reply);
    const Held turn(locks.writing);  // TRAP: killed while it writes, a worker takes this lock with it
    send_message(results, reply.bytes);
  }
  return 0;
}
inline const bool known = start::register_entry("faithful worker", work);

// ---- The pool.

/// apply, map, imap and their sisters are in methods.hpp: they make a job and call submit() or submit_unread().
class Pool : public pool::Methods {
 public:
  /// Throws std::invalid_argument for options that make no sense, std::system_error when a worker cannot be started.
  // TRAP: a worker for each CPU, however little of their time a container's quota grants.
  explicit Pool(const Options& options = {})
      : options_(options), starter_(options), workers_(options.processes.value_or(pool::allowed_cpus())) {
    ::sem_init(&locks().reading, /* shared between processes */ 1, 1);
    ::sem_init(&locks().writing, 1, 1);
    for (auto& worker : workers_) worker = start_worker();
    worker_handler_ = start_thread("worker handler", &Pool::handle_workers, worker_handler_ended_);
    task_handler_ = start_thread("task handler", &Pool::handle_tasks, task_handler_ended_);
    result_handler_ = start_thread("result handler", &Pool::handle_results, result_handler_ended_);
  }
  /// terminate(), not close() and join(): leaving the scope ends what is still running.
  ~Pool() {
    try {
      terminate();
    } catch (const std::logic_error& error) {
      say("{}\n", error.what());
    }
    end();
  }

  /// No more work is taken. Workers are replaced until all that was submitted is done; then each gets a None.
  void close() {
    const std::lock_guard lock(mutex_);
    if (state_ == State::run) state_ = State::close;
    poke();
  }
  /// Ends the workers, whatever they are doing.
  // TRAP: what is pending stays so, and who waits for it without a timeout waits for ever.
  void terminate() {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(state_, State::terminate) == State::terminate) return;
      for (const auto& [id, job] : pending_) job->stop();
      poke();  // the worker handler ends, and has the task handler send the Nones
    }
    {
      // The task handler may be stuck in a full pipe. To read from it, this needs the readers' lock as well.
      // TRAP: if a killed worker holds that, terminate() hangs, and so does leaving the scope.
      const Held turn(locks().reading);
      while (!task_handler_ended_ && wait_for(tasks_.first.get(), POLLIN, Clock::now()))
        receive_message(tasks_.first.get(), pool::kFrameLimit);
    }
    if (result_handler_ended_ && !idle()) throw std::logic_error("Cannot have cache with result handler not alive");
    results_over_ = true;
  }
  /// Waits until all is done after close() or terminate(), and workers and threads have ended.
  void join() {
    if (state() == State::run) throw std::logic_error("Pool is still running");
    end();
  }

  std::vector<pid_t> pids() const {
    const std::lock_guard lock(mutex_);
    std::vector<pid_t> pids;
    for (const auto& worker : workers_) pids.push_back(worker->pid());
    return pids;
  }

 private:
  enum class State { run, close, terminate };
  using Call = std::function<void()>;  // writes all tasks of one call into the task pipe; none: CPython's None

  // ---- What the eight methods call.

  std::size_t chunk_size(std::optional<std::ptrdiff_t> asked, std::size_t items) const override {
    if (!asked) return pool::default_chunk_size(items, static_cast<int>(workers_.size()));
    // TRAP: a chunk size below 1 makes no chunks: nothing is run, and the answer is a list of None.
    return static_cast<std::size_t>(std::max<std::ptrdiff_t>(*asked, 0));
  }
  void submit(const std::shared_ptr<Job>& job, std::size_t chunks) override {
    call(job, [this, job, chunks] {
      for (std::size_t number = 0; number < chunks && running(); ++number) put_task(*job, number);
    });
    if (chunks == 0) job->publish(), forget(*job);  // at once, and nobody is called back
  }
  void submit_unread(const std::shared_ptr<Job>& job, const pool::Read& read) override {
    call(job, [this, job, read] {
      // TRAP: imap is not lazy. The task handler reads the whole input, whether or not anybody takes a result.
      if (read(SIZE_MAX, [&](std::size_t chunk) { put_task(*job, chunk); })) forget(*job);
    });
  }
  void call(const std::shared_ptr<Job>& job, Call call) {
    const std::lock_guard lock(mutex_);
    if (state_ != State::run) throw pool::NotRunning("Pool not running");
    job->id = ++ids_;
    pending_.emplace(job->id, job);
    task_queue_.push_back(std::move(call));
    called_.notify_one();
  }

  // ---- The three threads.

  void handle_tasks() {
    for (;;) {
      std::unique_lock lock(mutex_);
      called_.wait(lock, [&] { return !task_queue_.empty(); });
      const Call call = std::move(task_queue_.front());
      task_queue_.pop_front();
      if (!call) break;
      if (state_ == State::terminate) continue;
      lock.unlock();
      call();
    }
    {
      const Held turn(locks().writing);
      send_message(results_.second.get(), "");  // to the result handler
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) send_message(tasks_.second.get(), "");
  }

  // TRAP: what this thread does not catch ends it, and with it all later results of the pool: an error or a result that
  // cannot be decoded, a callback that throws.
  void handle_results() {
    for (bool ending = false; !ending || !(results_over_ || idle());) {
      const auto reply = receive_message(results_.first.get(), pool::kFrameLimit);
      if (!reply || reply->empty()) {
        ending = true;
        continue;
      }
      Decoder in(*reply);
      const auto id = in.get<std::uint64_t>();
      const auto [chunk, kind, rest] = pool::parse_reply(in.rest());
      std::shared_ptr<Job> job;
      {
        const std::lock_guard lock(mutex_);
        if (const auto found = pending_.find(id); found != pending_.end()) job = found->second;
      }
      const auto error = kind == pool::Reply::error ? pool::decode_error(rest) : nullptr;
      if (job) set(*job, chunk, {rest, error});
    }
  }

  // TRAP: a worker that has ended is replaced, and nobody asks what it was doing. Its task is lost, get() waits for
  // ever.
  void handle_workers() {
    while (state() == State::run || (state() == State::close && !idle())) {
      std::vector<pollfd> polls{{changed_.get(), POLLIN, 0}};
      for (const auto& worker : workers_) polls.push_back({worker->sentinel(), POLLIN, 0});
      ::poll(polls.data(), polls.size(), -1);
      std::uint64_t ignored = 0;
      if (polls[0].revents != 0) ::eventfd_read(changed_.get(), &ignored);
      for (std::size_t i = 0; i < workers_.size(); ++i) {
        if (polls[i + 1].revents == 0) continue;
        auto worker = start_worker();
        const std::lock_guard lock(mutex_);
        worker.swap(workers_[i]);
        worker->take_exit_code();
      }
    }
    const std::lock_guard lock(mutex_);
    task_queue_.push_back(nullptr);
    called_.notify_one();
  }

  // ---- What the threads share.
  // A result is set by the result handler; by the task handler where an argument could not be encoded.
  void set(Job& job, std::size_t chunk, const Outcome& outcome) {
    bool complete = false;
    {
      const std::lock_guard one_at_a_time(setting_);
      complete = job.accept(chunk, outcome);  // which calls back
    }
    if (complete) forget(job);
  }
  void forget(const Job& job) {
    std::shared_ptr<Job> last;  // goes after the lock
    const std::lock_guard lock(mutex_);
    if (const auto found = pending_.find(job.id); found != pending_.end()) last = found->second, pending_.erase(found);
    if (pending_.empty()) poke();
  }
  void put_task(Job& job, std::size_t number) {
    const Job::Chunk chunk = job.chunk(number);
    if (chunk.refused) return set(job, number, {{}, chunk.refused});
    Encoder task;
    task.put(job.id), task.put(std::uint64_t{number}), task.put(job.task), task.put(std::uint64_t{chunk.items});
    task.bytes += chunk.arguments;
    send_message(tasks_.second.get(), task.bytes);
  }
  State state() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }
  bool running() const { return state() != State::terminate; }
  bool idle() const {
    const std::lock_guard lock(mutex_);
    return pending_.empty();
  }

  std::unique_ptr<start::Child> start_worker() {
    Plan plan{starter_.next_name(), options_.initializer, options_.initargs, options_.tasks_per_child.value_or(0)};
    return starter_.start("faithful worker", plan.name, encode(plan),
                          {tasks_.first.get(), results_.second.get(), memory_file_.get()});
  }
  // After close() threads and workers end by themselves; after terminate() processes by SIGTERM, and threads, which
  // cannot be ended, when they have finished their task and find the pipes closed.
  void end() {
    for (std::thread* thread : {&worker_handler_, &task_handler_, &result_handler_}) {
      if (!thread->joinable()) continue;
      // It may wait for one more message. Where the pipe is full it does not, and may have ended: nobody would make room.
      if (thread == &result_handler_ && !running() && wait_for(results_.second.get(), POLLOUT, Clock::now()))
        send_message(results_.second.get(), "");
      thread->join();
    }
    tasks_.second.reset(), results_.first.reset();
    for (const auto& worker : workers_) {
      if (running() || options_.vehicle == Vehicle::threads) continue;
      if (!wait_for(worker->sentinel(), POLLIN, Clock::now())) worker->send_signal(SIGTERM);
    }
    for (const auto& worker : std::exchange(workers_, {})) worker->wait(Deadline::max()), worker->take_exit_code();
  }
  void poke() { ::eventfd_write(changed_.get(), 1); }  // CPython's change notifier
  Locks& locks() const { return *reinterpret_cast<Locks*>(memory_.data()); }
  // What nobody catches ends a thread of CPython, and is printed; of C++ it would end the program.
  std::thread start_thread(const char* name, void (Pool::*body)(), std::atomic<bool>& ended) {
    return std::thread([this, name, body, &ended] {
      try {
        (this->*body)();
      } catch (const std::exception& error) {
        say("Exception in a pool's {}: {}\n", name, error.what());
      }
      ended = true;
    });
  }

  const Options options_;
  pool::Starter starter_;
  const Descriptor memory_file_ = make_memfd("locks", sizeof(Locks));
  const Mapping memory_ = Mapping::of(memory_file_);
  std::pair<Descriptor, Descriptor> tasks_ = make_pipe(), results_ = make_pipe();  // the read end first
  const Descriptor changed_{::eventfd(0, EFD_CLOEXEC)};

  std::mutex setting_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable called_;
  State state_ = State::run;
  std::deque<Call> task_queue_;
  std::map<std::uint64_t, std::shared_ptr<Job>> pending_;  // the cache
  std::uint64_t ids_ = 0;
  std::vector<std::unique_ptr<start::Child>> workers_;
  std::atomic<bool> worker_handler_ended_{false}, task_handler_ended_{false}, result_handler_ended_{false},
      results_over_{false};
  std::thread worker_handler_, task_handler_, result_handler_;
};

}  // namespace lab::faithful
