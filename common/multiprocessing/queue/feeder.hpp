// A thread that puts: whoever feeds a bounded queue with more than it holds can drain another queue meanwhile.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "common/multiprocessing/queue/queue.hpp"
#include "common/os/say.hpp"

namespace lab::queue {

/// Takes items without limit and puts them into `queue` in that order, from a thread of its own. Forked processes get
/// no copy of what waits here: make it after them.
template <class Queue>
class Feeder {
 public:
  explicit Feeder(Queue& queue) : queue_(queue), thread_([this] { feed(); }) {}
  /// Waits as finish() does, and says what was lost.
  ~Feeder() {
    try {
      finish();
    } catch (const std::exception& error) {
      say("{}\n", error.what());
    }
  }

  template <class T>
  void put(const T& value) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(encode(value));
    more_.notify_one();
  }

  /// Waits until all items are in the queue. While it waits it says every second for how many of them, and why: nobody
  /// takes any. Throws Full after `patience` without room for the next one; what was left is dropped then.
  void finish(Timeout patience = kPatience) {
    std::unique_lock lock(mutex_);
    patience_ = patience;
    finished_ = true;
    more_.notify_one();
    while (!ended_.wait_for(lock, std::chrono::seconds(1), [this] { return done_; }))
      say("a process waits for its feeder: {} items have no room in a full queue until somebody gets some\n",
          waiting_.size());
    lock.unlock();
    if (thread_.joinable()) thread_.join();
    if (failed_) std::rethrow_exception(std::exchange(failed_, nullptr));
  }

 private:
  void feed() {
    std::unique_lock lock(mutex_);
    for (Deadline since = Clock::now(); !failed_;) {  // the last item found room, or there was none
      more_.wait(lock, [this] { return finished_ || !waiting_.empty(); });
      if (waiting_.empty()) break;
      const std::string item = waiting_.front();
      lock.unlock();
      std::exception_ptr error;
      bool full = false;
      try {
        queue_.put_bytes(item, kLook);
      } catch (const Full&) {
        full = true;  // room may come yet
        error = std::current_exception();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (!error) {
        waiting_.pop_front();
        since = Clock::now();
      } else if (!full || (finished_ && Clock::now() > patience_.deadline(since))) {
        failed_ = error;
      }
    }
    done_ = true;
    ended_.notify_all();
  }

  static constexpr std::chrono::milliseconds kLook{100};  // a put waits no longer, to see what finish() says
  Queue& queue_;
  std::mutex mutex_;
  std::condition_variable more_, ended_;
  std::deque<std::string> waiting_;
  Timeout patience_ = kPatience;
  bool finished_ = false, done_ = false;
  std::exception_ptr failed_;
  std::thread thread_;
};

}  // namespace lab::queue
