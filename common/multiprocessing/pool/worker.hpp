// A pool's worker: the same loop in a process and in a thread.
#pragma once

#include <array>
#include <atomic>
#include <string>

#include "common/os/codec.hpp"
#include "common/os/futex.hpp"
#include "frames.hpp"

namespace lab::pool {

/// A worker's words in memory it shares with the pool. Several small chunks may be on their way to a worker; it begins
/// one only if the pool has not taken it back meanwhile for a worker that is idle. After the worker's death the same
/// words tell which chunk it had begun: that one is lost, the others just go elsewhere.
class Begun {
 public:
  static constexpr std::uint64_t kSlots = 32;  ///< more chunks than these are never on their way at once

  /// Pool: chunk `number` is about to be sent.
  void offer(std::uint64_t number) { slot(number).store(number * 2, std::memory_order_release); }
  /// Pool: takes an offered chunk back; false when the worker has begun it.
  bool take_back(std::uint64_t number) { return swap(number, number * 2, 0); }
  /// Worker: begins a chunk; false when it was taken back.
  bool begin(std::uint64_t number) { return swap(number, number * 2, number * 2 + 1); }

  FutexWord ready{0};  ///< 1 once the worker's initializer has returned; then it is woken

 private:
  std::atomic<std::uint64_t>& slot(std::uint64_t number) { return slots_[number % kSlots]; }
  bool swap(std::uint64_t number, std::uint64_t from, std::uint64_t to) {
    return slot(number).compare_exchange_strong(from, to);
  }
  std::array<std::atomic<std::uint64_t>, kSlots> slots_{};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

/// A reply is the number of its chunk, one of these, and what it says.
enum class Reply : char { values = 'v', error = 'e', initializer_failed = 'i' };

/// Its parts; what it says is not looked into. Throws Garbled.
std::tuple<std::uint64_t, Reply, std::string_view> parse_reply(std::string_view frame);

/// Runs the tasks of a chunk one after another, on arguments taken off `in`, and appends 'v' and the results to
/// `reply`, or 'e' and the error: the first failure ends the chunk. Passes on what a task throws that is no
/// std::exception.
void run_chunk(const std::string& task, std::uint64_t items, Decoder& in, Encoder& reply);
/// Runs a task for its effect, on encoded arguments. Throws what it throws.
void run_initializer(const std::string& task, std::string_view arguments);
/// 'e' and an error, as run_chunk has it.
std::string error_reply(const std::string& task, const std::exception& error);

/// Who the calling thread is: the name of the worker that runs the calling task, and the number of its pool;
/// "MainProcess" and 0 elsewhere. Other threads of a pool, which may run a user's code too, have its number as well.
struct Identity {
  std::string worker = "MainProcess";
  std::uint64_t pool = 0;
};
Identity& this_thread();
inline const std::string& current_worker() { return this_thread().worker; }

/// What a worker is told when it is started.
struct WorkerPlan {
  std::string name;         ///< "ForkPoolWorker-3"
  std::string initializer;  ///< name of a task to run first; empty: none
  std::string initargs;     ///< its arguments, encoded
  std::uint64_t pool = 0;
  int cpu = -1;  ///< it runs there alone; below 0: wherever it may
  auto members() { return std::tie(name, initializer, initargs, pool, cpu); }
};

/// Reads chunks from `tasks` and writes replies to `replies` until an empty frame or end-of-file. Each reply is written
/// before the next chunk is begun: whatever kills the worker, at most one chunk is lost. Whatever a task throws is that
/// task's error. Returns the worker's exit status. Throws MessageError for bytes that are no chunk, std::system_error.
int serve(const WorkerPlan& plan, int tasks, int replies, Begun& begun);

}  // namespace lab::pool
