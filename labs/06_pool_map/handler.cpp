// The result handler: the thread that takes in replies and tells the jobs, which call their callers back.
#include <sys/epoll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "crew.hpp"
#include "task.hpp"

namespace lab::pool {

void Crew::handle_results() {
  try {
    handle_until_done();
  } catch (...) {
    const std::string sentence =
        "Exception in the pool's result handler, which ends: " + sentence_of(std::current_exception());
    std::fprintf(stderr, "%s\n", sentence.c_str());
    if (conduct_->lost(sentence)) break_down(sentence);
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
      const bool vacancies = retry_ != Deadline::max();
      ready = ::epoll_wait(epoll_.get(), events.data(), events.size(), vacancies ? int{kRetry.count()} : -1);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0) throw_errno("cannot wait for a pool's workers");
    if (Clock::now() >= retry_) fill_vacancies();
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
        worker.ahead.flush();
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
    worker.ahead.replied(frames);
  }
  if (got == Inbox::Got::end) unwatch(worker.replies);  // the sentinel tells the rest
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
    sent = worker.ahead.answered(number);
  }
  Outcome outcome{.values = rest};
  try {
    if (kind == Reply::error) outcome.error = decode_error(rest);
  } catch (...) {
    if (conduct_->handler_caught(*sent.job, sent.chunk)) leave(*sent.job);
    return;
  }
  deliver(sent.job, sent.chunk, outcome);
}

void Crew::deliver(const std::shared_ptr<Job>& job, std::size_t chunk, const Outcome& outcome) {
  bool complete = false;
  try {
    complete = job->accept(chunk, outcome);
  } catch (...) {
    complete = conduct_->handler_caught(*job, chunk);
  }
  if (complete) leave(*job);
}

}  // namespace lab::pool
