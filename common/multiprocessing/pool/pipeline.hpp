// Sending ahead: several chunks are on their way to a worker at once, so that it never sleeps between two short ones.
// Most of what a task costs is waking somebody up; with the next chunk in its pipe already a worker need not be woken,
// and its replies are taken in many at a time. That is pipelining, and why map with chunks of 1 costs a small part of a
// round trip.
//
// What is sent ahead is bounded by a window: it doubles as long as replies come fast, and falls back to 1 when one is
// slow. A chunk must not wait behind a long one while another worker is idle: what a worker has not begun is taken back
// then. Otherwise a task that waits for a later one might wait for ever: where the workers share one queue, as in
// CPython, it does not.
#pragma once

#include <deque>

#include "job.hpp"
#include "worker.hpp"

namespace lab::pool {

/// Chunks of one job that wait to be sent: from next up to, not with, end.
struct Waiting {
  std::shared_ptr<Job> job;
  std::size_t next, end;
};

/// A chunk that was sent, and no reply has come yet.
struct InFlight {
  std::shared_ptr<Job> job;
  std::size_t chunk;
  std::uint64_t number;  ///< in this worker's life, from 1
  std::size_t bytes;
};

/// The pool's end of one worker's task pipe.
class Pipeline {
 public:
  Pipeline() = default;
  /// `tasks` does not block; `begun` are the words shared with the worker.
  Pipeline(Descriptor tasks, Begun& begun) : tasks_(std::move(tasks)), begun_(&begun) {}

  const std::deque<InFlight>& in_flight() const { return in_flight_; }  ///< the front is the one that runs
  /// How many chunks the worker has had to itself: what was taken back does not count.
  std::uint64_t had() const { return answered_ + in_flight_.size(); }
  bool full() const;
  int descriptor() const { return tasks_.get(); }

  /// Puts a chunk into the outbox; flush() writes what the pipe takes. The pipe's next room calls for another flush.
  void send(const std::shared_ptr<Job>& job, std::size_t number, const Job::Chunk& chunk);
  /// Puts the sentinel there: the worker ends when it has come to it. An end of file would not do, for any copy of this
  /// process holds the pipe open.
  void send_sentinel();
  void flush();
  /// Puts what the worker has not begun back in front of the queue, but for `keep` chunks. The bytes still reach it; it
  /// finds that they are no longer its own.
  void take_back(std::deque<Waiting>& queue, std::size_t keep);
  /// The chunk a reply answers. Throws Garbled when it is not the one whose turn it is.
  InFlight answered(std::uint64_t number);
  /// So many replies came at once: were they fast enough to send it more ahead?
  void replied(std::size_t replies);

 private:
  Descriptor tasks_;
  Begun* begun_ = nullptr;
  std::deque<InFlight> in_flight_;
  std::uint64_t number_ = 0, answered_ = 0;
  std::size_t bytes_ = 0, window_ = 1;  // in flight; how many chunks may be
  Deadline last_reply_ = Clock::now();
  std::string outbox_;  // what the pipe had no room for
  std::size_t flushed_ = 0;
};

}  // namespace lab::pool
