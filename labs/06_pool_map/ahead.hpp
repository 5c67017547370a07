// What one worker has been sent ahead of its replies. While its chunks turn out to be short, several are on their way
// to it at once, so that it never waits for the next; what it has not begun can be recalled.
#pragma once

#include <deque>

#include "job.hpp"
#include "wire.hpp"

namespace lab::pool {

/// Chunks of one job that wait to be sent: from next up to, not with, end.
struct Span {
  std::shared_ptr<Job> job;
  std::size_t next, end;
};

/// A chunk that was sent, and no reply has come yet.
struct Sent {
  std::shared_ptr<Job> job;
  std::size_t chunk;
  std::uint64_t number;  ///< in this worker's life, from 1
  std::size_t bytes;
};

class Ahead {
 public:
  Ahead() = default;
  /// `tasks` is the pool's end of the worker's pipe and does not block; `begun` the words it shares with the worker.
  Ahead(Descriptor tasks, Begun& begun) : tasks_(std::move(tasks)), begun_(&begun) {}

  const std::deque<Sent>& sent() const { return sent_; }  ///< the front is the one that runs
  std::uint64_t so_far() const { return number_; }        ///< how many it was sent in its life
  bool full() const;

  /// Puts a chunk into the outbox; flush() writes what the pipe takes. The pipe's next room calls for another flush.
  void send(const std::shared_ptr<Job>& job, std::size_t chunk);
  void flush();
  /// Puts what the worker has not begun back in front of the queue, but for `keep` chunks. The bytes still reach it; it
  /// finds that they are no longer its own.
  void recall(std::deque<Span>& queue, std::size_t keep);
  /// The same when chunks wait behind one that turns out to be long; no more are sent ahead then.
  void recall_if_stuck(std::deque<Span>& queue);
  /// The chunk a reply answers. Throws Garbled when it is not the one whose turn it is.
  Sent answered(std::uint64_t number);
  /// So many replies came at once: were they fast enough to send it more ahead?
  void replied(std::size_t replies);
  void close() { tasks_.reset(); }  ///< the worker ends when it has read what it was sent

 private:
  Descriptor tasks_;
  Begun* begun_ = nullptr;
  std::deque<Sent> sent_;
  std::uint64_t number_ = 0;
  std::size_t bytes_ = 0, window_ = 1;  // sent and not answered; how many chunks may be
  Deadline last_reply_ = Clock::now();
  std::string outbox_;  // what the pipe had no room for
  std::size_t flushed_ = 0;
};

}  // namespace lab::pool
