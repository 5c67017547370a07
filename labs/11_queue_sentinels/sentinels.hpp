// Work through two queues, and how everybody learns that it is over: the two-message protocol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "common/os/clock.hpp"

namespace lab::queues {

/// What travels: an item, or none. On the jobs' queue none is a sentinel, "all done"; on the results' it is a worker's
/// acknowledgement, "I have ended". Python sends None, or a string that is no item.
template <class T>
using Message = std::optional<T>;

/// A span of somebody's life, for a picture: what, since when. By default nobody looks.
struct NobodyLooks {
  void operator()(const char*, std::int64_t) const {}
};

/// One process's part of it: of the parent (`who` is 0), which feeds all items and collects the results, or of worker
/// `who`. `work(item)` returns a result or none. Returns the results in the parent, and nothing in a worker.
///
/// Why two messages? Each worker must learn that nothing more will come: one sentinel each, for a worker that has read
/// one reads no more. And the parent must learn that no result is still on its way. One worker's messages come in
/// order, so all of its results are before its acknowledgement: with the last acknowledgement everything is there.
template <class Item, class Result, class Jobs, class Results, class Work, class Note = NobodyLooks>
std::vector<Result> run_with_sentinels(int who, int workers, Jobs& jobs, Results& results,
                                       const std::vector<Item>& items, Work work, Note note = {}) {
  std::vector<Result> collected;
  if (who > 0) {
    for (;;) {
      std::int64_t since = now_ns();
      const Message<Item> job = jobs.get();
      note(job ? "waits for a job" : "reads a sentinel", since);
      if (!job) break;
      since = now_ns();
      const Message<Result> result = work(*job);
      note("works", since);
      if (result) results.put(result);
    }
    const std::int64_t since = now_ns();
    results.put(std::nullopt);
    note("acknowledges", since);
    return collected;
  }

  const auto feed = [&] {
    for (const Item& item : items) jobs.put(item);
    const std::int64_t since = now_ns();
    for (int i = 0; i < workers; ++i) jobs.put(std::nullopt);
    note("sends the sentinels", since);
  };
  // A bounded queue is full before all is fed, and its workers wait with their results until somebody takes these: feed
  // first and collect then, and all wait for one another. So the one or the other needs a thread. Queue has its own.
  std::jthread feeder;
  if constexpr (Jobs::kFeeds) {
    feed();
  } else {
    feeder = std::jthread(feed);
  }
  for (int working = workers; working > 0;) {
    const std::int64_t since = now_ns();
    if (const Message<Result> result = results.get()) {
      collected.push_back(*result);
    } else {
      --working;
      note("takes an acknowledgement", since);
    }
  }
  return collected;
}

}  // namespace lab::queues
