// Which worker is sent what, and when. The caller's own thread writes a task to an idle worker.
#include "engine.hpp"

namespace lab::pool {

void Engine::check_running() const {
  check_owner(owner_);
  const std::lock_guard lock(mutex_);
  check();
}

void Engine::check() const {
  if (!broken_.empty()) throw NotRunning(broken_);
  if (state_ != State::run) throw NotRunning("Pool not running");
}

void Engine::submit(const std::shared_ptr<Job>& job, std::size_t chunks,
                    const std::map<std::size_t, std::exception_ptr>& refused) {
  enter(job);
  std::size_t from = 0;
  for (const auto& [chunk, error] : refused) {
    give(job, std::exchange(from, chunk + 1), chunk);
    refuse(job, chunk, error);
  }
  give(job, from, chunks);
}

void Engine::enter(const std::shared_ptr<Job>& job) {
  check_owner(owner_);
  const std::lock_guard lock(mutex_);
  check();
  job->id = ++ids_;
  job->handler = result_handler_.get_id();
  jobs_.emplace(job->id, job);
}

void Engine::give(const std::shared_ptr<Job>& job, std::size_t from, std::size_t to) {
  const std::lock_guard lock(mutex_);
  if (from == to || !jobs_.contains(job->id)) return;  // abandoned meanwhile
  queue_.push_back({job, from, to});
  dispatch();
}

// Not here: jobs are completed by one thread.
void Engine::refuse(const std::shared_ptr<Job>& job, std::size_t chunk, const std::exception_ptr& error) {
  const std::lock_guard lock(mutex_);
  refused_.push_back({job, chunk, error});
  wake();
}

// The job's last reference may be this one, and with it go values and callbacks, which are the user's: not under the
// lock.
void Engine::leave(const Job& job) {
  decltype(jobs_)::node_type gone;
  const std::lock_guard lock(mutex_);
  gone = jobs_.extract(job.id);
  if (jobs_.empty() && state_ == State::close) changed_.notify_all(), wake();
}

void Engine::dispatch() {
  if (state_ == State::terminate) return;
  for (Worker& worker : workers_) worker.pipeline.take_back_if_stuck(queue_);
  for (bool taken_back = false;;) {
    Worker* worker = least_busy();
    if (queue_.empty()) {
      // Somebody is idle while chunks wait behind another's: those go back into the queue, once.
      if (taken_back || worker == nullptr || !worker->pipeline.in_flight().empty()) break;
      for (Worker& other : workers_) other.pipeline.take_back(queue_, 1);
      taken_back = true;
      continue;
    }
    if (worker == nullptr) break;
    Waiting& first = queue_.front();
    worker->pipeline.send(first.job, first.next++);
    if (first.next == first.end) queue_.pop_front();
  }
  for (Worker& worker : workers_) worker.pipeline.flush();
}

// Its tasks are counted here alone: two counts of one thing drift apart.
bool Engine::spent(const Worker& worker) const {
  return options_.tasks_per_child && worker.pipeline.had() >= static_cast<std::uint64_t>(*options_.tasks_per_child);
}

Engine::Worker* Engine::least_busy() {
  Worker* best = nullptr;
  for (Worker& worker : workers_) {
    if (!worker.alive || worker.told_to_end || spent(worker) || worker.pipeline.full()) continue;
    if (best == nullptr || worker.pipeline.in_flight().size() < best->pipeline.in_flight().size()) best = &worker;
    if (best->pipeline.in_flight().empty()) break;
  }
  return best;
}

// A worker that has had its tasks is told to end once it has answered them; and all are when the pool is over.
void Engine::end_those_who_are_done() {
  for (Worker& worker : workers_) {
    if (!worker.alive || worker.told_to_end || !(over() || (spent(worker) && worker.pipeline.in_flight().empty())))
      continue;
    worker.told_to_end = true;
    worker.pipeline.send_end();
    worker.pipeline.flush();
  }
}

}  // namespace lab::pool
