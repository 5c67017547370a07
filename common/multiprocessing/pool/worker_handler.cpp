// A worker has ended: by its last task, by its initializer, by a signal. What it had begun is lost, what it had not
// goes elsewhere, and the worker handler replaces it. Where the system refuses that, the others go on and it is tried
// again. The pool is broken when none is left, and after several that did not even start.
#include <fmt/format.h>

#include <csignal>

#include "common/os/say.hpp"
#include "engine.hpp"
#include "task.hpp"

namespace lab::pool {

// In the result handler.
void Engine::reap(Worker& worker, std::size_t at) {
  while (receive(worker)) {  // what it had finished is in its pipe
  }
  const auto exit_code = worker.child->take_exit_code();
  if (!exit_code) return;  // an event of the one before
  const bool nursery_lost = starter_.nursery_lost(*worker.child);
  const std::string how = fmt::format("{} (pid {}) {}", worker.name, worker.child->pid(),
                                      nursery_lost ? "was lost with its nursery (the fork server of the pool)"
                                                   : "ended with " + describe_exit(*exit_code));
  for (const int fd : {worker.pipeline.descriptor(), worker.replies.get(), worker.child->sentinel()}) unwatch(fd);
  worker.replies.reset();
  if (!worker.failure.empty()) say("{}: its initializer {} threw: {}\n", how, options_.initializer, worker.failure);
  Pipeline last;
  std::unique_ptr<start::Child> gone;
  {
    const std::lock_guard lock(mutex_);
    worker.pipeline.take_back(queue_, 0);
    std::swap(last, worker.pipeline), std::swap(gone, worker.child);
    if (broken_.empty()) broken_ = why_broken(worker, at, how, nursery_lost || *exit_code == -SIGKILL);
    worker.end = how;
    worker.alive = false;  // from here on it is the worker handler's
    changed_.notify_all();
  }
  // It had begun one chunk; more only where its replies were garbled.
  for (const auto& [job, number, ignored, bytes] : last.in_flight()) {
    const Job::Chunk chunk = job->chunk(number);
    const std::string items = chunk.items == 1
                                  ? fmt::format("item {}", chunk.first)
                                  : fmt::format("items {} to {}", chunk.first, chunk.first + chunk.items - 1);
    const auto lost = fmt::format("{} while it ran task {} ({} of job {})", how, job->task, items, job->id);
    deliver(job, number, {.values = {}, .error = std::make_exception_ptr(WorkerLost(lost))});
  }
}

// Why it makes no sense to start another; empty: it does.
std::string Engine::why_broken(const Worker& worker, std::size_t at, const std::string& how, bool killed) {
  // Who was killed has hardly failed by itself, but one that always is (out of memory, say) must come to an end too.
  constexpr int most_failed = 3, most_killed = 300;
  int& count = killed ? killed_starts_ : failed_starts_;
  if (begun(at).ready.load() == 1) {
    killed_starts_ = failed_starts_ = 0;
    return "";
  }
  if (++count < (killed ? most_killed : most_failed)) return "";
  return fmt::format("the pool is broken: {} workers {}, and none became ready; {}{}{}", count,
                     killed ? "were killed" : "failed to start", how,
                     options_.initializer.empty() ? "" : " in initializer " + options_.initializer,
                     worker.failure.empty() ? "" : ": " + worker.failure);
}

// The worker handler's life. The fork server may keep it waiting, so that is done without the lock.
void Engine::handle_workers() {
  constexpr std::chrono::milliseconds kRetry{200};
  this_thread().pool = number_;
  bool said = false;
  for (std::unique_lock lock(mutex_);;) {
    const auto ending = [&] { return over() || !broken_.empty(); };
    changed_.wait(lock, [&] { return ending() || living() < size_; });
    if (ending()) return;
    std::size_t at = 0;
    while (workers_[at].alive) ++at;
    starting_ = true;
    lock.unlock();
    const auto refused = attempt([&] {
      Worker worker = start_worker(at);
      lock.lock();
      install(at, std::move(worker));
      dispatch();
    });
    if (!lock.owns_lock()) lock.lock();
    starting_ = false;
    if (over()) wake();
    if (!refused) {
      said = false;
      continue;
    }
    const std::string refusal = sentence_of(refused);
    const std::size_t left = living();
    const std::string& how = workers_[at].end;
    if (left == 0) {
      broken_ = fmt::format("the pool is broken: {} and cannot be replaced: {}", how, refusal);
      wake();
      return;
    }
    const std::string sentence =
        fmt::format("{} and cannot be replaced yet: {}; {} of {} workers go on\n", how, refusal, left, size_);
    lock.unlock();
    if (!std::exchange(said, true)) say("{}", sentence);
    lock.lock();
    changed_.wait_for(lock, kRetry, ending);
  }
}

}  // namespace lab::pool
