// The three queues of multiprocessing, each a short class on the one before, from a pipe and semaphores as CPython
// builds them. TRAP marks what goes wrong there, and so goes wrong here.
#pragma once

#include <limits.h>
#include <semaphore.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/multiprocessing/process/exit_order.hpp"
#include "common/os/clock.hpp"
#include "common/os/futex.hpp"
#include "common/os/mapping.hpp"
#include "common/os/say.hpp"
#include "common/os/timeout.hpp"

namespace lab::queues {

using std::chrono::nanoseconds;

/// No item came, no slot became free in time: queue.Empty and queue.Full.
struct Empty : std::runtime_error {
  Empty() : std::runtime_error("no item came in time") {}
};
struct Full : std::runtime_error {
  Full() : std::runtime_error("the queue stayed full") {}
};
/// put or get after close, join_thread before it, one task_done too many: Python's ValueError.
struct Misuse : std::logic_error {
  using std::logic_error::logic_error;
};

/// multiprocessing.Semaphore, and with a value of 1 its Lock: a POSIX semaphore in memory shared over fork.
/// TRAP: it counts, and does not know whom it let in. Whoever is killed in there never lets the next one in.
class Semaphore {
 public:
  explicit Semaphore(unsigned value = 1) {
    if (::sem_init(&*semaphore_, 1, value) < 0) throw_errno("cannot make a semaphore");
  }
  bool acquire(Timeout timeout = {}) {
    if (::sem_trywait(&*semaphore_) == 0) return true;
    const std::int64_t begin = now_ns();
    const auto end = nanoseconds(timeout.deadline().time_since_epoch()).count();
    const timespec until{end / 1'000'000'000, end % 1'000'000'000};
    int failed = 0;
    do {
      failed = timeout ? ::sem_clockwait(&*semaphore_, CLOCK_MONOTONIC, &until) : ::sem_wait(&*semaphore_);
    } while (failed && errno == EINTR);
    blocked_ns += now_ns() - begin;
    return failed == 0;
  }
  void release() { ::sem_post(&*semaphore_); }
  unsigned value() const {
    int value = 0;
    ::sem_getvalue(&*semaphore_, &value);
    return static_cast<unsigned>(value);
  }
  std::int64_t blocked_ns = 0;  ///< how long this process has waited here

 private:
  Shared<sem_t> semaphore_;
};

/// A lock held for a scope; Python's `with lock:`.
struct Hold {
  explicit Hold(Semaphore& which) : lock(which) { lock.acquire(); }
  Hold(Semaphore& taken, std::adopt_lock_t) : lock(taken) {}
  ~Hold() { lock.release(); }
  Semaphore& lock;
};

// ---- SimpleQueue: a pipe and two locks ------------------------------------------------------------------------------

template <class T>
class SimpleQueue {
 public:
  static constexpr bool kFeeds = false;
  SimpleQueue() { std::tie(reader_, writer_) = pipe::one_way(); }

  /// Blocks while the pipe, 64 KiB, is full. TRAP: who puts more than that before anybody gets, never comes back.
  void put(const T& item) {
    const std::string bytes = encode(item);
    const Hold hold(write_lock_);  // two writers without a lock tear each other's messages: lab 05
    writer_.send_bytes(bytes);
  }
  T get() {
    std::string bytes;
    {
      // TRAP: the lock is held over the whole wait for an item. One consumer waits for the pipe, the others for the
      // lock; and when the one is killed, the others wait for ever.
      const Hold hold(read_lock_);
      bytes = reader_.recv_bytes();
    }
    return decode<T>(bytes);
  }
  bool empty() const { return !reader_.poll(); }  ///< Throws NotOpen after close.
  void close() {
    reader_.close();
    writer_.close();
  }
  /// How long this process has waited for another reader to let go of the lock.
  nanoseconds blocked() const { return nanoseconds(read_lock_.blocked_ns); }

 protected:
  pipe::Connection reader_, writer_;
  Semaphore read_lock_, write_lock_;
};

// ---- Queue: put never waits for the pipe, a feeder thread does ------------------------------------------------------

template <class T>
class Queue : protected SimpleQueue<T> {
 public:
  static constexpr bool kFeeds = true;  ///< put returns at once
  static constexpr unsigned kUnbounded = SEM_VALUE_MAX;
  /// `capacity` counts the items that were put and not yet got, wherever they are: here, or in the pipe.
  explicit Queue(unsigned capacity = kUnbounded) : capacity_(capacity), slots_(capacity) {}
  ~Queue() {
    if (!mine()) return;
    close();
    if (feeder_->cancelled && feeder_->thread.joinable()) feeder_->thread.detach();  // may wait in write for ever
    finish(*feeder_);
  }

  /// Takes a slot and returns. TRAP: the item is encoded later, by the feeder: what goes wrong then is printed, and put
  /// has long returned. (Python keeps a reference until then, so that a list changed after put may go out changed.)
  void put(T item, Timeout timeout = {}) {
    if (closed_) throw Misuse("put into a closed queue");
    if (!slots_.acquire(timeout)) throw Full();
    if (!mine()) start_feeder();
    feeder_->put(std::move(item));
  }

  T get(Timeout timeout = {}) {
    if (closed_) throw Misuse("get from a closed queue");
    const Deadline deadline = timeout.deadline();
    if (!read_lock_.acquire(timeout)) throw Empty();
    std::string bytes;
    {
      const Hold hold(read_lock_, std::adopt_lock);  // TRAP: as in SimpleQueue
      if (timeout && !reader_.poll(deadline - Clock::now())) throw Empty();
      bytes = reader_.recv_bytes();
      slots_.release();
    }
    return decode<T>(bytes);
  }

  /// TRAP: qsize asks the slots and empty the pipe: between put and the feeder's write both can be true, 1 and empty.
  unsigned qsize() const { return capacity_ - slots_.value(); }
  bool empty() const { return !reader_.poll(); }
  bool full() const { return slots_.value() == 0; }
  using SimpleQueue<T>::blocked;

  /// This process will neither put nor get any more; what it has put still goes out.
  void close() {
    if (!std::exchange(closed_, true) && mine()) feeder_->put(std::nullopt);
  }
  /// Waits until it has. TRAP: so does the end of the process: a child that has put more than the pipe holds, and whose
  /// parent joins it before it gets, waits for its parent, and its parent for it.
  void join_thread() {
    if (!closed_) throw Misuse("join_thread comes after close");
    if (mine() && !feeder_->cancelled) finish(*feeder_);
  }
  /// The end of this process shall not wait for the feeder. TRAP: what is still here is lost, without a word.
  void cancel_join_thread() {
    cancelled_ = true;
    if (mine()) feeder_->cancelled = true;
  }

 protected:
  using SimpleQueue<T>::reader_;
  using SimpleQueue<T>::read_lock_;

 private:
  struct Feeder {
    void put(std::optional<T> item) {
      const std::lock_guard lock(mutex);
      buffer.push_back(std::move(item));
      not_empty.notify_one();
    }
    std::optional<T> take() {
      std::unique_lock lock(mutex);
      not_empty.wait(lock, [this] { return !buffer.empty(); });
      std::optional<T> item = std::move(buffer.front());
      buffer.pop_front();
      return item;
    }
    std::mutex mutex;
    std::condition_variable not_empty;
    std::deque<std::optional<T>> buffer;  // none: the end, a sentinel of its own
    bool cancelled = false;
    pid_t pid = ::getpid();
    std::thread thread;
  };

  bool mine() const { return feeder_ && feeder_->pid == ::getpid(); }

  // At the first put of a process. A forked child begins with an empty buffer: its parent's is the parent's to send.
  void start_feeder() {
    if (feeder_) new auto(std::move(feeder_));  // a parent's: left alone, its thread is not here, its mutex may be held
    feeder_ = std::make_shared<Feeder>();
    feeder_->cancelled = cancelled_;
    feeder_->thread = std::thread([this, own = feeder_] { feed(*own); });
    start::at_process_exit(-5, [own = feeder_] {
      if (own->cancelled) return;
      own->put(std::nullopt);
      finish(*own);
    });
  }
  static void finish(Feeder& feeder) {
    if (feeder.thread.joinable()) feeder.thread.join();
  }

  void feed(Feeder& own) {
    while (std::optional<T> item = own.take()) {
      try {
        SimpleQueue<T>::put(*item);
      } catch (const std::exception& error) {
        slots_.release();  // or the item that was never sent would take up room for ever
        say("Queue: an item could not be sent: {}\n", error.what());
      }
    }
  }

  unsigned capacity_;
  Semaphore slots_;
  bool closed_ = false, cancelled_ = false;
  std::shared_ptr<Feeder> feeder_;
};

// ---- JoinableQueue: and one can wait until all that was put has been done --------------------------------------------

template <class T>
class JoinableQueue : public Queue<T> {
 public:
  using Queue<T>::Queue;
  void put(T item, Timeout timeout = {}) {
    unfinished_->fetch_add(1);  // before anybody can get it, and call it done
    try {
      Queue<T>::put(std::move(item), timeout);
    } catch (...) {
      task_done();
      throw;
    }
  }
  /// To be called for each item that was got, when it has been worked on.
  void task_done() {
    std::uint32_t before = unfinished_->load();
    do {
      if (before == 0) throw Misuse("task_done() was called more often than put()");
    } while (!unfinished_->compare_exchange_weak(before, before - 1));
    if (before == 1) futex_wake(*unfinished_);
  }
  /// Waits until each item that was put is done; false at the timeout (Python's has none). TRAP: a consumer that is
  /// killed with an item in its hand never calls task_done, and join waits for ever.
  bool join(Timeout timeout = {}) {
    const Deadline deadline = timeout.deadline();
    while (const std::uint32_t left = unfinished_->load()) {
      if (Clock::now() >= deadline) return false;
      futex_wait(*unfinished_, left, deadline);
    }
    return true;
  }

 private:
  Shared<FutexWord> unfinished_{0u};
};

}  // namespace lab::queues
