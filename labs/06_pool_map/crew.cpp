#include "crew.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "task.hpp"

namespace lab::pool {

Crew::Crew(Options options, std::unique_ptr<Conduct> conduct)
    : options_(std::move(options)), conduct_(std::move(conduct)) {
  const int size = options_.processes ? *options_.processes : conduct_->default_size();
  if (size < 1) throw std::invalid_argument("a pool needs at least 1 worker");
  if (options_.tasks_per_child && *options_.tasks_per_child < 1)
    throw std::invalid_argument("tasks_per_child must be at least 1, or absent");
  if (!options_.initializer.empty()) thunk_named(options_.initializer);  // throws when nobody knows it
  if (options_.vehicle == Vehicle::processes && start::self().daemon)
    throw std::logic_error("daemonic processes are not allowed to have children");
  struct sigaction present {};
  ::sigaction(SIGPIPE, nullptr, &present);
  if (present.sa_handler == SIG_DFL)
    std::signal(SIGPIPE, SIG_IGN);  // a worker that has died is an error code, not our end

  epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !wake_) throw_errno("cannot make a pool's event queue");
  watch(wake_.get(), EPOLLIN, kWakeUp);
  starter_ = make_starter(options_.vehicle, static_cast<std::size_t>(size), options_.nursery);
  workers_ = std::vector<Worker>(static_cast<std::size_t>(size));
  try {
    for (std::size_t at = 0; at < workers_.size(); ++at) start(at);
    state_ = State::run;
    handler_ = std::thread([this] { handle_results(); });
  } catch (...) {
    stop_workers();
    throw;
  }
}

Crew::~Crew() {
  try {
    terminate();
  } catch (const std::logic_error&) {  // the result handler had died
  }
  handler_.join();
  stop_workers();
}

void Crew::watch(int fd, std::uint32_t events, std::uint64_t what) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = what;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) throw_errno("cannot watch a pool's descriptor");
}

// Explicitly: what a forked copy of this process holds open, epoll would not forget by itself when we close it.
void Crew::unwatch(Descriptor& descriptor) {
  if (descriptor) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor.get(), nullptr);
  descriptor.reset();
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
  worker.replies = std::move(our_replies);
  worker.alive = true;
  watch(our_tasks.get(), EPOLLOUT | EPOLLET, at * sources + tasks);  // told when a full pipe has room again
  watch(worker.replies.get(), EPOLLIN, at * sources + replies);
  watch(worker.hand.sentinel.get(), EPOLLIN, at * sources + sentinel);
  worker.ahead = Ahead(std::move(our_tasks), starter_->begun(at));
  workers_[at] = std::move(worker);
}

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
  if (std::this_thread::get_id() == handler_.get_id())
    throw std::logic_error("a callback cannot wait for the end of its own pool");
  for (const auto& [id, job] : jobs_) job->read_on();
  const auto done = [&] { return handler_done_; };
  if (timeout) return finished_.wait_for(lock, std::min(*timeout, kForEver), done);
  finished_.wait(lock, done);
  return true;
}

// Idle workers read end-of-file and end; at terminate the others are told by SIGTERM, after 2 s by SIGKILL.
void Crew::stop_workers() {
  bool terminated = false;
  {
    const std::lock_guard lock(mutex_);
    terminated = state_ != State::close;
    for (Worker& worker : workers_) worker.ahead.close(), worker.replies.reset();
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
  for (const Worker& worker : workers_) {
    if (worker.alive) pids.push_back(worker.hand.pid);
  }
  return pids;
}

}  // namespace lab::pool
