// multiprocessing.Pool, sturdy: eight ways to hand work to a fixed number of workers, which are processes or threads.
//
//               one task       all of an input, results together     results one by one
//   waits       apply          map, starmap
//   returns     apply_async    map_async, starmap_async              imap, imap_unordered
//
//   int square(int x) { return x * x; }
//   const bool known = lab::pool::register_task("square", square);     // at namespace scope, in main.cpp: work is named, never pointed to
//
//   lab::start::Nursery nursery;                                       // first thing in main, before any thread: it forks the workers
//   lab::pool::Pool pool({.processes = 4, .initializer = "open_table", .initargs = lab::encode(1), .nursery = &nursery});
//   pool.apply<int>("square", 3);                                      // 9; the type is what the task returns
//   pool.map<int>("square", std::vector{1, 2, 3}, 2);                  // {1, 4, 9}, in chunks of 2; without a size: four chunks a worker
//   for (int x : pool.imap<int>("square", numbers, 100)) ...           // in order, chunks of 100, while later ones still run
//   auto later = pool.map_async<int>("square", numbers);               // later.ready(), later.get(5s)
//   pool.close(), pool.join();                                         // else leaving the scope terminates
//
// A worker that dies fails its own task (WorkerLost) and is replaced; terminate() answers what is pending (Terminated); what cannot be decoded
// and what a callback throws harm nobody else. Where CPython does otherwise stands in labs/06_pool_map/pool.hpp.
#pragma once

#include <ranges>

#include "engine.hpp"
#include "iterator.hpp"
#include "results.hpp"
#include "stream.hpp"

namespace lab::pool {

/// Tasks are named (register_task) and R is what they return; None for void. Results that wait take a timeout; without
/// one they wait as long as it takes. All may be called from any thread, also from a callback, which must not wait. In a process that is forked
/// from the pool's everything is refused (NotRunning), but to leave the pool's scope.
class Pool {
 public:
  /// Starts the workers. From then on the program ignores SIGPIPE, unless it had other plans for it. Throws
  /// std::invalid_argument for options that make no sense; std::system_error when a worker cannot be started, after
  /// ending those that were.
  explicit Pool(const Options& options = {}) : engine_(Engine::make(options)) {}
  /// terminate(), not close() and join(): leaving the scope ends what is still running. A task in a thread, and the
  /// reading of an input, are waited for.
  ~Pool() { Engine::let_go(std::move(engine_)); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// One task in one worker; waits for it.
  template <class R, class... Args>
  R apply(const std::string& task, const Args&... args) {
    return apply_async<R>(task, std::tie(args...)).get();
  }
  template <class R, class... Args>
  AsyncResult<R> apply_async(const std::string& task, const std::tuple<Args...>& args, Callbacks<R> callbacks = {}) {
    engine_->check_running();
    Chunks chunk = cut(std::span(&args, 1), 1, sizeof...(Args), put_each);
    auto job = std::make_shared<ApplyJob<R>>(task, std::move(chunk.arguments), std::move(callbacks));
    engine_->submit(job, 1, chunk.refused);
    return AsyncResult<R>(job);
  }

  /// task(item) for each item, in chunks; the results in the order of the items. An input without a length is read to
  /// its end first.
  template <class R, std::ranges::input_range Input>
  std::vector<R> map(const std::string& task, Input&& items, std::optional<std::ptrdiff_t> chunk_size = {}) {
    return map_async<R>(task, items, chunk_size).get();
  }
  template <class R, std::ranges::input_range Input>
  AsyncResult<std::vector<R>> map_async(const std::string& task, Input&& items,
                                        std::optional<std::ptrdiff_t> chunk_size = {},
                                        Callbacks<std::vector<R>> callbacks = {}) {
    return spread<R>(task, items, chunk_size, std::move(callbacks), 1,
                     [](Encoder& out, const auto& item) { out.put(item); });
  }
  /// The same for items that are tuples of arguments: task(a, b).
  template <class R, std::ranges::input_range Input>
  std::vector<R> starmap(const std::string& task, Input&& items, std::optional<std::ptrdiff_t> chunk_size = {}) {
    return starmap_async<R>(task, items, chunk_size).get();
  }
  template <class R, std::ranges::input_range Input>
  AsyncResult<std::vector<R>> starmap_async(const std::string& task, Input&& items,
                                            std::optional<std::ptrdiff_t> chunk_size = {},
                                            Callbacks<std::vector<R>> callbacks = {}) {
    return spread<R>(task, items, chunk_size, std::move(callbacks),
                     std::tuple_size_v<std::ranges::range_value_t<Input>>, put_each);
  }

  /// Results one by one, in the order of the items. The input is a range, or a function that returns the next item,
  /// none at the end. A thread of the pool reads it, at most 64 chunks ahead of those who take the results, and lets go
  /// of it when they drop the Results. What it refers to must outlive the pool.
  template <class R, class Input>
  Results<R> imap(const std::string& task, Input input, std::ptrdiff_t chunk_size = 1) {
    return trickle<R>(task, std::move(input), chunk_size, true);
  }
  /// The same in the order in which chunks come back.
  template <class R, class Input>
  Results<R> imap_unordered(const std::string& task, Input input, std::ptrdiff_t chunk_size = 1) {
    return trickle<R>(task, std::move(input), chunk_size, false);
  }

  /// No more work is taken; what was submitted is done. Then the workers end by themselves.
  void close() { engine_->close(); }
  /// Ends the workers, whatever they are doing (SIGTERM, after 2 s SIGKILL); a thread cannot be ended and finishes its
  /// task. What is pending fails with Terminated.
  void terminate() { engine_->terminate(); }
  /// Waits until all is done after close() or terminate(), and the workers have ended; false when the time is over first.
  /// The inputs of all imaps are then read to their ends, whoever may take the results.
  bool join(const Timeout& timeout = {}) { return engine_->join(timeout); }

  int size() const { return engine_->size(); }
  std::vector<pid_t> pids() const { return engine_->pids(); }  ///< of the workers as they are now

 private:
  static constexpr auto put_each = [](Encoder& out, const auto& args) {
    std::apply([&](const auto&... arg) { (out.put(arg), ...); }, args);
  };
  template <class R, class Input, class Put>
  AsyncResult<std::vector<R>> spread(const std::string& task, Input& input, std::optional<std::ptrdiff_t> asked,
                                     Callbacks<std::vector<R>> callbacks, ArgumentCount each, Put put) {
    engine_->check_running();
    if constexpr (!std::ranges::sized_range<Input>) {
      std::vector<std::ranges::range_value_t<Input>> all;
      for (auto&& item : input) all.push_back(item);
      return spread<R>(task, all, asked, std::move(callbacks), each, put);
    } else {
      if (asked && *asked < 1) throw std::invalid_argument("the chunk size must be at least 1");
      const std::size_t size = asked ? static_cast<std::size_t>(*asked)
                                     : default_chunk_size(std::size_t{std::ranges::size(input)}, engine_->size());
      Chunks chunks = cut(input, size, each, put);
      const std::size_t count = chunks.count();
      const auto refused = std::exchange(chunks.refused, {});
      auto job = std::make_shared<MapJob<R>>(task, std::move(chunks), std::move(callbacks));
      if (count == 0) {
        job->publish();  // without calling anybody back, as CPython does
        return AsyncResult<std::vector<R>>(job);
      }
      engine_->submit(job, count, refused);
      return AsyncResult<std::vector<R>>(job);
    }
  }

  template <class R, class Input>
  Results<R> trickle(const std::string& task, Input input, std::ptrdiff_t chunk_size, bool ordered) {
    engine_->check_running();
    if (chunk_size < 1) throw std::invalid_argument("the chunk size of imap must be at least 1");
    auto stream = std::make_shared<Stream<R>>(task, static_cast<std::size_t>(chunk_size), ordered);
    engine_->enter(stream);
    auto read = [engine = engine_.get(), stream, input = std::move(input)]() mutable {
      const auto give = [&](std::size_t chunk, const std::exception_ptr& refused) {
        refused ? engine->refuse(stream, chunk, refused) : engine->give(stream, chunk, chunk + 1);
      };
      if (read_input(*stream, kReadAhead, input, give)) engine->leave(*stream);
    };
    if (const auto error = attempt([&] { engine_->read_in_a_thread(std::move(read)); })) {  // there is none to be had
      engine_->leave(*stream);
      std::rethrow_exception(error);
    }
    return Results<R>(stream);
  }

  static constexpr std::size_t kReadAhead = 64;  // chunks
  std::shared_ptr<Engine> engine_;
};

}  // namespace lab::pool
