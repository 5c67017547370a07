// Which worker is sent what, and when. The caller's own thread writes a task to an idle worker.
#include <unistd.h>

#include "crew.hpp"

namespace lab::pool {

void Crew::check_running() const {
  if (::getpid() != owner_)
    throw NotRunning("the pool belongs to another process, which this one was forked from: make one of its own");
  const std::lock_guard lock(mutex_);
  check();
}

void Crew::check() const {
  if (!broken_.empty()) throw NotRunning(broken_);
  if (state_ != State::run) throw NotRunning("Pool not running");
}

void Crew::submit(const std::shared_ptr<Job>& job, std::size_t chunks,
                  const std::map<std::size_t, std::exception_ptr>& refused) {
  enter(job);
  for (const auto& [chunk, error] : refused) deliver(job, chunk, {.error = error});
  std::size_t from = 0;
  for (const auto& [chunk, error] : refused) give(job, std::exchange(from, chunk + 1), chunk);
  give(job, from, chunks);
}

void Crew::enter(const std::shared_ptr<Job>& job) {
  const std::lock_guard lock(mutex_);
  check();
  job->id = ++ids_;
  job->handler = handler_.get_id();
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

// Under the lock, by whoever submits or has taken in a reply.
void Crew::dispatch() {
  if (state_ == State::terminate) return;
  for (Worker& worker : workers_) worker.ahead.recall_if_stuck(queue_);
  for (bool recalled = false;;) {
    Worker* worker = least_busy();
    if (queue_.empty()) {
      // Somebody is idle while chunks wait behind another's: those go back into the queue, once.
      if (recalled || worker == nullptr || !worker->ahead.sent().empty()) break;
      for (Worker& other : workers_) other.ahead.recall(queue_, 1);
      recalled = true;
      continue;
    }
    if (worker == nullptr) break;
    Span& first = queue_.front();
    worker->ahead.send(first.job, first.next++);
    if (first.next == first.end) queue_.pop_front();
  }
  for (Worker& worker : workers_) worker.ahead.flush();
}

Crew::Worker* Crew::least_busy() {
  Worker* best = nullptr;
  for (Worker& worker : workers_) {
    const bool spent =
        options_.tasks_per_child && worker.ahead.so_far() >= static_cast<std::uint64_t>(*options_.tasks_per_child);
    if (!worker.alive || spent || worker.ahead.full()) continue;
    if (best == nullptr || worker.ahead.sent().size() < best->ahead.sent().size()) best = &worker;
    if (best->ahead.sent().empty()) break;
  }
  return best;
}

}  // namespace lab::pool
