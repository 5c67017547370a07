// The result handler: the one thread that takes in replies and completes jobs, which call their callers back.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <csignal>

#include "common/os/say.hpp"
#include "engine.hpp"
#include "task.hpp"

namespace lab::pool {
namespace {

// What to tell of a reply that could not be decoded, while what that threw is being handled.
std::exception_ptr undecodable(const std::string& task) {
  try {
    throw;
  } catch (const MessageError& error) {
    return std::make_exception_ptr(
        MessageError("the reply of task " + task + " is not what was asked for: " + error.what()));
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

Outcome outcome_of(const std::string& task, Reply kind, std::string_view rest) {
  if (kind == Reply::values) return {.values = rest, .error = {}};
  try {
    return {.values = {}, .error = decode_error(rest)};
  } catch (...) {
    return {.values = {}, .error = undecodable(task)};
  }
}

bool complete_with(Job& job, std::size_t chunk, const Outcome& outcome) {
  try {
    return job.accept(chunk, outcome);
  } catch (const CallbackError& error) {
    say("{}\n", error.what());
    job.publish();  // the answer itself is good
    return true;
  } catch (...) {
    if (outcome.error) throw;
    return complete_with(job, chunk, {.values = {}, .error = undecodable(job.task)});
  }
}

void Engine::handle_results() {
  this_thread().pool = number_;
  std::jthread worker_handler;
  try {
    worker_handler = std::jthread([this] { handle_workers(); });
    handle_until_done();
  } catch (const std::exception& error) {
    const std::string sentence = std::string("the pool is broken: its result handler ends: ") + error.what();
    say("{}\n", sentence);
    {
      const std::lock_guard lock(mutex_);
      broken_ = sentence;
    }
    abandon_all(std::make_exception_ptr(NotRunning(sentence)));
  }
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  // Whoever waits for the pool's end goes on; this thread waits for the others.
  worker_handler = {};
  decltype(readers_) readers;
  {
    const std::lock_guard lock(readers_mutex_);
    closed_to_readers_ = true;
    readers.swap(readers_);
  }
  readers.clear();
  release_workers();
}

void Engine::handle_until_done() {
  for (Deadline kill_at = Deadline::max();;) {
    std::array<epoll_event, 64> events;
    int ready = 0;
    do {
      ready = ::epoll_wait(epoll_.get(), events.data(), events.size(), kill_at == Deadline::max() ? -1 : 100);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0) throw_errno("cannot wait for a pool's workers");
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t what = events[i].data.u64, at = what / sources;
      // As long as a worker lives nobody else touches what is this thread's of it.
      const auto alive = [&] {
        const std::lock_guard lock(mutex_);
        return workers_[at].alive;
      };
      if (what == kWakeUp) {
        eventfd_t ignored = 0;
        ::eventfd_read(wake_.get(), &ignored);
      } else if (what % sources != tasks && alive()) {  // where a pipe of tasks has room again dispatch() writes on
        what % sources == replies ? void(receive(workers_[at])) : reap(workers_[at], at);
      }
    }
    deliver_what_was_refused();
    std::unique_lock lock(mutex_);
    dispatch();
    send_sentinels();
    const bool terminated = state_ == State::terminate, pending = !jobs_.empty();
    const std::string broken = broken_;
    lock.unlock();
    if (pending && !broken.empty()) abandon_all(std::make_exception_ptr(NotRunning(broken)));
    if (pending && terminated)
      abandon_all(std::make_exception_ptr(Terminated("the pool was terminated before this result was there")));
    if (stop_workers(kill_at)) return;
  }
}

// One read, and what was complete in it. False when there is nothing more for now.
bool Engine::receive(Worker& worker) {
  if (!worker.replies) return false;
  auto got = Inbox::Got::nothing;
  std::size_t frames = 0;
  try {
    got = worker.inbox.fill(worker.replies.get());
    while (const auto frame = worker.inbox.next()) {
      take_in(worker, *frame);
      ++frames;
    }
  } catch (const Garbled& error) {  // nothing it says can be trusted any more: it ends, and is replaced as any other
    say("{} (pid {}) is ended: {}\n", worker.name, worker.child->pid(), error.what());
    worker.child->send_signal(SIGKILL);
    got = Inbox::Got::end;
  }
  if (frames > 0) {
    const std::lock_guard lock(mutex_);
    worker.pipeline.replied(frames);
  }
  if (got == Inbox::Got::end) {  // the sentinel tells the rest
    unwatch(worker.replies.get());
    worker.replies.reset();
  }
  return got == Inbox::Got::bytes;
}

void Engine::take_in(Worker& worker, std::string_view frame) {
  const auto [number, kind, rest] = parse_reply(frame);
  if (kind == Reply::initializer_failed) {
    worker.failure = rest;
    return;
  }
  InFlight sent;
  {
    const std::lock_guard lock(mutex_);
    sent = worker.pipeline.answered(number);
  }
  deliver(sent.job, sent.chunk, outcome_of(sent.job->task, kind, rest));
}

void Engine::deliver(const std::shared_ptr<Job>& job, std::size_t chunk, const Outcome& outcome) {
  {
    const std::lock_guard lock(mutex_);
    if (!jobs_.contains(job->id)) return;  // abandoned meanwhile
  }
  if (complete_with(*job, chunk, outcome)) forget(*job);
}

void Engine::deliver_what_was_refused() {
  decltype(refused_) refused;
  {
    const std::lock_guard lock(mutex_);
    refused.swap(refused_);
  }
  for (const auto& [job, chunk] : refused) deliver(job, chunk, {.values = {}, .error = job->chunk(chunk).refused});
}

void Engine::abandon_all(const std::exception_ptr& error) {
  decltype(jobs_) jobs;
  decltype(queue_) queue;
  {
    const std::lock_guard lock(mutex_);
    jobs.swap(jobs_);
    queue.swap(queue_);
  }
  for (const auto& [id, job] : jobs) {
    try {
      job->abandon(error);
    } catch (const CallbackError& thrown) {
      say("{}\n", thrown.what());
      job->publish();
    }
  }
}

// When the pool is over: true once no worker is left. After close() they end by themselves, however long their
// finalizers take; at terminate() processes get SIGTERM, after 2 s SIGKILL. A thread cannot be ended: it finishes its
// task.
bool Engine::stop_workers(Deadline& kill_at) {
  constexpr auto patience = std::chrono::seconds(2);
  const std::lock_guard lock(mutex_);
  if (!over()) return false;
  if (state_ == State::terminate) {
    if (options_.vehicle == Vehicle::threads) return true;
    const auto now = Clock::now();
    if (kill_at == Deadline::max()) kill_at = now + patience;
    const int signal = now < kill_at ? SIGTERM : SIGKILL;
    for (Worker& worker : workers_) {
      if (worker.alive && std::exchange(worker.signalled, signal) != signal) worker.child->send_signal(signal);
    }
    if (now > kill_at + patience) return true;  // a nursery that has been stopped tells of no end
  }
  return living() == 0 && !starting_;
}

}  // namespace lab::pool
