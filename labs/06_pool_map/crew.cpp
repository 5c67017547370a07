#include "crew.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace lab::pool {
namespace {

using std::chrono::microseconds;

// While chunks turn out to be short, up to so many are on their way to a worker at once, so that it never waits for the
// next; few enough bytes that the pipe takes them whole.
constexpr std::size_t kWindow = 16, kWindowBytes = 32 << 10;
static_assert(kWindow < Begun::kSlots);
constexpr microseconds kShort{200};   // and what counts as short
constexpr microseconds kStuck{1000};  // what counts as long after all

// What epoll tells with an event: a worker's place and which of its descriptors, or the wake-up.
enum Source : std::uint64_t { replies, tasks, sentinel, sources };
constexpr std::uint64_t kWakeUp = UINT64_MAX;

}  // namespace

Crew::Crew(Options options, std::unique_ptr<Conduct> conduct)
    : options_(std::move(options)), conduct_(std::move(conduct)) {
  const int size = options_.processes == 0 ? conduct_->default_size() : options_.processes;
  if (size < 1) throw std::invalid_argument("a pool needs at least 1 worker");
  if (options_.tasks_per_child && *options_.tasks_per_child < 1)
    throw std::invalid_argument("tasks_per_child must be at least 1, or absent");
  if (options_.vehicle == Vehicle::processes && start::self().daemon)
    throw std::logic_error("daemonic processes are not allowed to have children");
  struct sigaction present {};
  ::sigaction(SIGPIPE, nullptr, &present);
  if (present.sa_handler == SIG_DFL)
    std::signal(SIGPIPE, SIG_IGN);  // a worker that has died is an error code, not our end

  epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !wake_) throw_errno("cannot make a pool's event queue");
  watch(wake_.get(), EPOLLIN, kWakeUp, EPOLL_CTL_ADD);
  starter_ = make_starter(options_.vehicle, static_cast<std::size_t>(size), options_.nursery);
  workers_ = std::vector<Worker>(static_cast<std::size_t>(size));
  try {
    for (std::size_t at = 0; at < workers_.size(); ++at) start(at);
  } catch (...) {
    stop_workers();
    throw;
  }
  state_ = State::run;
  handler_ = std::thread([this] { handle_results(); });
}

Crew::~Crew() {
  try {
    terminate();
  } catch (const std::logic_error&) {  // the result handler had died
  }
  handler_.join();
  stop_workers();
}

void Crew::watch(int fd, std::uint32_t events, std::uint64_t what, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = what;
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) < 0) throw_errno("cannot watch a pool's descriptor");
}

void Crew::start(std::size_t at) {
  auto [their_tasks, our_tasks] = make_pipe();
  auto [our_replies, their_replies] = make_pipe();
  ::fcntl(our_tasks.get(), F_SETFL, O_NONBLOCK);  // of our ends only: the handler must never wait for one worker
  ::fcntl(our_replies.get(), F_SETFL, O_NONBLOCK);
  Worker worker;
  worker.name = fmt::format("{}-{}", options_.vehicle == Vehicle::processes ? "ForkPoolWorker" : "Thread", ++names_);
  const WorkerPlan plan{worker.name, options_.initializer, options_.initargs, options_.tasks_per_child.value_or(0),
                        conduct_->worker_catches_all()};
  worker.hand = starter_->start(plan, std::move(their_tasks), std::move(their_replies), at);
  worker.tasks = std::move(our_tasks);
  worker.replies = std::move(our_replies);
  worker.alive = true;
  worker.last_reply = Clock::now();
  watch(worker.replies.get(), EPOLLIN, at * sources + replies, EPOLL_CTL_ADD);
  watch(worker.hand.sentinel.get(), EPOLLIN, at * sources + sentinel, EPOLL_CTL_ADD);
  workers_[at] = std::move(worker);
}

// ---- Submitting: in the caller's thread, which writes the task to an idle worker itself.

void Crew::check_running() const {
  const std::lock_guard lock(mutex_);
  check();
}

void Crew::check() const {
  if (!broken_.empty()) throw NotRunning(broken_);
  if (state_ != State::run) throw NotRunning("Pool not running");
}

void Crew::enter(const std::shared_ptr<Job>& job) {
  const std::lock_guard lock(mutex_);
  check();
  job->id = ++ids_;
  jobs_.emplace(job->id, job);
}

void Crew::give(const std::shared_ptr<Job>& job, std::size_t from, std::size_t to) {
  const std::lock_guard lock(mutex_);
  if (from == to || !jobs_.contains(job->id)) return;  // abandoned meanwhile
  queue_.push_back({job, from, to});
  dispatch();
}

void Crew::leave(const Job& job) {
  const std::lock_guard lock(mutex_);
  jobs_.erase(job.id);
  if (jobs_.empty() && state_ == State::close) wake();
}

// ---- Feeding the workers: under the lock, by whoever submits or has taken in a reply.

void Crew::dispatch() {
  if (state_ == State::terminate) return;
  // A chunk that waits behind one which turned out to be long goes to somebody else.
  const auto now = Clock::now();
  for (Worker& worker : workers_) {
    if (worker.sent.size() > 1 && now - worker.last_reply > kStuck) recall(worker), worker.window = 1;
  }
  for (bool recalled = false;;) {
    Worker* worker = least_busy();
    if (queue_.empty()) {
      // Somebody is idle while chunks wait behind another's: those go back into the queue, once.
      if (recalled || worker == nullptr || !worker->sent.empty()) break;
      for (Worker& other : workers_) recall(other);
      recalled = true;
      continue;
    }
    if (worker == nullptr) break;
    send(*worker, queue_.front());
    if (queue_.front().next == queue_.front().end) queue_.pop_front();
  }
  for (Worker& worker : workers_) {
    if (!worker.outbox.empty() && !worker.wants_room) flush(worker);
  }
}

Crew::Worker* Crew::least_busy() {
  Worker* best = nullptr;
  for (Worker& worker : workers_) {
    const bool spent =
        options_.tasks_per_child && worker.numbers >= static_cast<std::uint64_t>(*options_.tasks_per_child);
    // A place in the shared memory is not used again before its chunk is done, however many are recalled meanwhile.
    const bool full = !worker.sent.empty() && (worker.sent.size() >= worker.window || worker.bytes > kWindowBytes ||
                                               worker.numbers + 1 - worker.sent.front().number >= Begun::kSlots);
    if (!worker.alive || spent || full) continue;
    if (best == nullptr || worker.sent.size() < best->sent.size()) best = &worker;
    if (best->sent.empty()) break;
  }
  return best;
}

void Crew::send(Worker& worker, Span& from) {
  const std::size_t number = from.next++;
  const Job::Chunk chunk = from.job->chunk(number);
  Encoder frame{std::move(worker.outbox)};
  const std::size_t body = open_frame(frame.bytes);
  frame.put(++worker.numbers);
  frame.put(from.job->task);
  frame.put(std::uint64_t{chunk.items});
  frame.bytes += chunk.arguments;
  close_frame(frame.bytes, body);
  starter_->begun(static_cast<std::size_t>(&worker - workers_.data())).offer(worker.numbers);
  if (worker.sent.empty()) worker.last_reply = Clock::now();
  worker.sent.push_back({from.job, number, worker.numbers, frame.bytes.size() - body});
  worker.bytes += worker.sent.back().bytes;
  worker.outbox = std::move(frame.bytes);
}

void Crew::flush(Worker& worker) {
  while (worker.flushed < worker.outbox.size()) {
    const ssize_t n =
        ::write(worker.tasks.get(), worker.outbox.data() + worker.flushed, worker.outbox.size() - worker.flushed);
    if (n >= 0) {
      worker.flushed += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      worker.flushed = worker.outbox.size();  // EPIPE: it has died, as its sentinel is about to tell
    }
  }
  const bool rest = worker.flushed < worker.outbox.size();
  if (!rest) worker.outbox.clear(), worker.flushed = 0;
  if (rest == worker.wants_room) return;
  const auto at = static_cast<std::uint64_t>(&worker - workers_.data());
  watch(worker.tasks.get(), EPOLLOUT, at * sources + tasks, rest ? EPOLL_CTL_ADD : EPOLL_CTL_DEL);
  worker.wants_room = rest;
}

// Takes back what this worker has not begun. The bytes still reach it; it finds that they are no longer its own.
void Crew::recall(Worker& worker) {
  Begun& begun = starter_->begun(static_cast<std::size_t>(&worker - workers_.data()));
  while (worker.sent.size() > 1 && begun.take_back(worker.sent.back().number)) {
    Sent& back = worker.sent.back();
    queue_.push_front({std::move(back.job), back.chunk, back.chunk + 1});
    worker.bytes -= back.bytes;
    worker.sent.pop_back();
  }
}

// ---- The result-handler thread.

void Crew::handle_results() {
  try {
    handle_until_done();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "Exception in the pool's result handler, which ends: %s\n", error.what());
    const std::lock_guard lock(mutex_);
    handler_died_ = true;
  }
  const std::lock_guard lock(mutex_);
  handler_done_ = true;
  finished_.notify_all();
}

void Crew::handle_until_done() {
  for (;;) {
    std::array<epoll_event, 64> events;
    int ready = 0;
    do {
      ready = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    } while (ready < 0 && errno == EINTR);
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t what = events[i].data.u64;
      if (what == kWakeUp) {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto n = ::read(wake_.get(), &count, sizeof count);
        continue;
      }
      Worker& worker = workers_[what / sources];
      if (what % sources == replies) {
        receive(worker);
      } else if (what % sources == tasks) {
        const std::lock_guard lock(mutex_);
        if (worker.wants_room) flush(worker);
      } else {
        bury(worker, what / sources);
      }
    }
    std::unique_lock lock(mutex_);
    dispatch();
    const bool over = state_ == State::terminate || (state_ == State::close && jobs_.empty());
    if (!over) continue;
    const auto error = state_ == State::terminate ? conduct_->terminated() : nullptr;
    lock.unlock();
    if (error) abandon_all(error);
    stop_workers();
    return;
  }
}

// One read, and what was complete in it. False when there is nothing more for now.
bool Crew::receive(Worker& worker) {
  if (!worker.replies) return false;
  auto got = Inbox::Got::nothing;
  std::size_t frames = 0;
  try {
    got = worker.inbox.fill(worker.replies.get());
    while (const auto frame = worker.inbox.next()) {
      take_in(worker, *frame);
      ++frames;
    }
  } catch (const Garbled& error) {  // nothing it says can be trusted any more: it ends, and is buried as any other
    std::fprintf(stderr, "%s (pid %d) is ended: %s\n", worker.name.c_str(), worker.hand.pid, error.what());
    starter_->signal(worker.hand, SIGKILL);
    got = Inbox::Got::end;
  }
  if (frames > 0) {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    const bool fast = now - worker.last_reply < kShort * frames;
    worker.window = fast ? std::min(worker.window * 2, kWindow) : 1;
    worker.last_reply = now;
  }
  if (got == Inbox::Got::end) worker.replies.reset();  // which epoll forgets by itself; the sentinel tells the rest
  return got == Inbox::Got::bytes;
}

void Crew::take_in(Worker& worker, std::string_view frame) {
  const auto [number, kind, rest] = parse_reply(frame);
  if (kind == Reply::initializer_failed) {
    worker.failure = rest;
    return;
  }
  Sent sent;
  {
    const std::lock_guard lock(mutex_);
    if (worker.sent.empty() || worker.sent.front().number != number)
      throw Garbled("it replies to what it was not sent");
    sent = std::move(worker.sent.front());
    worker.sent.pop_front();
    worker.bytes -= sent.bytes;
  }
  try {
    if (kind == Reply::values) {
      deliver(sent.job, sent.chunk, {.values = rest});
    } else {
      deliver(sent.job, sent.chunk, {.error = decode_error(rest)});
    }
  } catch (...) {
    if (conduct_->handler_caught(*sent.job, sent.chunk)) leave(*sent.job);
  }
}

void Crew::deliver(const std::shared_ptr<Job>& job, std::size_t chunk, const Outcome& outcome) {
  if (job->accept(chunk, outcome)) leave(*job);
}

// A worker has ended: by its last task, by its initializer, by a signal. Whatever it had finished is in its pipe.
void Crew::bury(Worker& worker, std::size_t at) {
  if (!worker.alive) return;
  while (receive(worker)) {
  }
  const auto exit_code = starter_->exit_code(worker.hand, Clock::now() + std::chrono::seconds(5));
  worker.hand.sentinel.reset();
  const std::string how = fmt::format("{} (pid {}) ended with {}", worker.name, worker.hand.pid,
                                      exit_code ? start::describe_exit(*exit_code) : "an unknown status");
  Begun& begun = starter_->begun(at);
  std::optional<Sent> affected;
  std::string hopeless;
  {
    const std::lock_guard lock(mutex_);
    worker.alive = false;
    for (; !worker.sent.empty(); worker.sent.pop_back()) {  // the newest first, so that the oldest ends up in front
      Sent& sent = worker.sent.back();
      if (begun.take_back(sent.number)) {
        queue_.push_front({std::move(sent.job), sent.chunk, sent.chunk + 1});
      } else {
        affected = std::move(sent);
      }
    }
    if (begun.ready.load() == 1) {
      failed_starts_ = 0;
    } else if (++failed_starts_ >= conduct_->failed_starts()) {
      hopeless =
          fmt::format("the pool is broken: {} workers in a row failed to start; {} in initializer {}{}", failed_starts_,
                      how, options_.initializer, worker.failure.empty() ? "" : ": " + worker.failure);
    }
    const std::string failure = std::exchange(worker.failure, {});
    if (hopeless.empty() && state_ != State::terminate && (state_ != State::close || !jobs_.empty())) {
      if (!failure.empty())
        std::fprintf(stderr, "%s: its initializer %s threw: %s\n", how.c_str(), options_.initializer.c_str(),
                     failure.c_str());
      try {
        start(at);
      } catch (const std::exception& error) {
        hopeless = fmt::format("the pool is broken: {} and cannot be replaced: {}", how, error.what());
      }
    }
  }
  if (affected) {
    const Job::Chunk chunk = affected->job->chunk(affected->chunk);
    const std::string items = chunk.items == 1
                                  ? fmt::format("item {}", chunk.first)
                                  : fmt::format("items {} to {}", chunk.first, chunk.first + chunk.items - 1);
    const auto error = conduct_->lost(
        fmt::format("{} while it ran task {} ({} of job {})", how, affected->job->task, items, affected->job->id));
    try {
      if (error) deliver(affected->job, affected->chunk, {.error = error});
    } catch (...) {
      if (conduct_->handler_caught(*affected->job, affected->chunk)) leave(*affected->job);
    }
  }
  if (!hopeless.empty()) break_down(hopeless);
}

void Crew::break_down(const std::string& sentence) {
  {
    const std::lock_guard lock(mutex_);
    broken_ = sentence;
    queue_.clear();
  }
  abandon_all(std::make_exception_ptr(NotRunning(sentence)));
}

void Crew::abandon_all(const std::exception_ptr& error) {
  std::map<std::uint64_t, std::shared_ptr<Job>> jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs.swap(jobs_);
  }
  for (const auto& [id, job] : jobs) {
    try {
      job->abandon(error);
    } catch (const CallbackError& thrown) {
      std::fprintf(stderr, "%s\n", thrown.what());
      job->publish();
    }
  }
}

// ---- The end.

void Crew::wake() const {
  const std::uint64_t one = 1;
  write_all(wake_.get(), std::as_bytes(std::span(&one, 1)));
}

void Crew::close() {
  const std::lock_guard lock(mutex_);
  if (state_ == State::run) state_ = State::close;
  wake();
}

void Crew::terminate() {
  std::unique_lock lock(mutex_);
  state_ = State::terminate;
  queue_.clear();
  for (const auto& [id, job] : jobs_) job->stop();
  wake();
  if (std::this_thread::get_id() == handler_.get_id())
    return;  // called by a callback: the handler ends when that returns
  finished_.wait(lock, [&] { return handler_done_; });
  if (handler_died_ && !jobs_.empty()) throw std::logic_error("Cannot have cache with result handler not alive");
}

bool Crew::join(Timeout timeout) {
  std::unique_lock lock(mutex_);
  if (state_ == State::run) throw std::logic_error("Pool is still running");
  const auto done = [&] { return handler_done_; };
  if (timeout) return finished_.wait_for(lock, *timeout, done);
  finished_.wait(lock, done);
  return true;
}

// Idle workers read end-of-file and end; at terminate the others are told by SIGTERM, after 2 s by SIGKILL.
void Crew::stop_workers() {
  bool terminated = false;
  {
    const std::lock_guard lock(mutex_);
    terminated = state_ != State::close;
    for (Worker& worker : workers_) worker.tasks.reset(), worker.replies.reset();
  }
  if (terminated && options_.vehicle == Vehicle::threads) return;  // they end after their task: the starter joins them
  for (const int number : {SIGTERM, SIGKILL}) {
    const Deadline deadline = Clock::now() + std::chrono::seconds(2);
    for (Worker& worker : workers_) {
      if (worker.alive && terminated) starter_->signal(worker.hand, number);
    }
    for (Worker& worker : workers_) {
      if (worker.alive && starter_->exit_code(worker.hand, deadline)) worker.alive = false;
    }
    terminated = true;
  }
}

std::vector<pid_t> Crew::pids() const {
  const std::lock_guard lock(mutex_);
  std::vector<pid_t> pids;
  for (const Worker& worker : workers_) pids.push_back(worker.hand.pid);
  return pids;
}

}  // namespace lab::pool
