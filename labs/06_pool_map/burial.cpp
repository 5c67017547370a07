// A worker has ended: by its last task, by its initializer, by a signal. What it had begun is lost, what it had not goes
// elsewhere, and it is replaced; where the system refuses that, the others go on and it is tried again. The pool is
// broken when none is left, and after several that did not even start.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "common/os/say.hpp"
#include "crew.hpp"

namespace lab::pool {

void Crew::bury(Worker& worker, std::size_t at) {
  if (!worker.alive) return;
  while (receive(worker)) {  // what it had finished is in its pipe
  }
  const auto exit_code = starter_->exit_code(worker.hand, Clock::now() + std::chrono::seconds(5));
  const bool nursery_lost = exit_code && starter_->nursery_lost(worker.hand);
  unwatch(worker.hand.sentinel);
  unwatch(worker.replies);
  const std::string how = fmt::format("{} (pid {}) {}", worker.name, worker.hand.pid,
                                      nursery_lost ? "was lost with its nursery (the fork server of the pool)"
                                      : exit_code  ? "ended with " + describe_exit(*exit_code)
                                                   : "ended with an unknown status");
  std::deque<Sent> lost;
  std::string hopeless;
  {
    const std::lock_guard lock(mutex_);
    worker.alive = false;
    worker.ahead.recall(queue_, 0);
    lost = worker.ahead.sent();  // it had begun: one; more only where its replies were garbled
    hopeless = replace(worker, at, how, nursery_lost || exit_code == -SIGKILL);
  }
  for (const Sent& sent : lost) report_lost(sent, how);
  if (!hopeless.empty()) break_down(hopeless);
}

// Starts another worker in its place; returns why that is hopeless. Under the lock.
std::string Crew::replace(Worker& worker, std::size_t at, const std::string& how, bool killed) {
  // Who was killed has hardly failed by itself, but one that always is (out of memory, say) must come to an end too.
  const int patience = killed ? 100 : 1;
  int& count = killed ? killed_starts_ : failed_starts_;
  if (starter_->begun(at).ready.load() == 1) {
    killed_starts_ = failed_starts_ = 0;
  } else if (++count / patience >= conduct_->failed_starts()) {
    return fmt::format("the pool is broken: {} workers {}, and none became ready; {}{}{}", count,
                       killed ? "were killed" : "failed to start", how,
                       options_.initializer.empty() ? "" : " in initializer " + options_.initializer,
                       worker.failure.empty() ? "" : ": " + worker.failure);
  }
  if (state_ == State::terminate || (state_ == State::close && jobs_.empty())) return "";
  if (!worker.failure.empty())
    std::fprintf(stderr, "%s: its initializer %s threw: %s\n", how.c_str(), options_.initializer.c_str(),
                 worker.failure.c_str());
  try {
    start(at);
    return "";
  } catch (const std::exception& error) {
    const auto left = std::ranges::count_if(workers_, [](const Worker& other) { return other.alive; });
    if (left == 0) return fmt::format("the pool is broken: {} and cannot be replaced: {}", how, error.what());
    say("{} and cannot be replaced yet: {}; {} of {} workers go on\n", how, error.what(), left, workers_.size());
    retry_ = Clock::now() + kRetry;
    return "";
  }
}

// Tries again to replace those that could not be.
void Crew::fill_vacancies() {
  const std::lock_guard lock(mutex_);
  retry_ = Deadline::max();
  try {
    for (std::size_t at = 0; at < workers_.size(); ++at) {
      if (!workers_[at].alive) start(at);
    }
  } catch (const std::exception&) {  // said when it was tried first
    retry_ = Clock::now() + kRetry;
  }
}

void Crew::report_lost(const Sent& lost, const std::string& how) {
  const Job::Chunk chunk = lost.job->chunk(lost.chunk);
  const std::string items = chunk.items == 1
                                ? fmt::format("item {}", chunk.first)
                                : fmt::format("items {} to {}", chunk.first, chunk.first + chunk.items - 1);
  const auto error =
      conduct_->lost(fmt::format("{} while it ran task {} ({} of job {})", how, lost.job->task, items, lost.job->id));
  if (error) deliver(lost.job, lost.chunk, {.error = error});
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

}  // namespace lab::pool
