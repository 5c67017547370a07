// A Pool as CPython's multiprocessing has it: eight ways to hand work to a fixed number of workers, which are processes
// or threads. The front is here, the engine in crew.hpp; where CPython has a trap, so has this one (conduct.cpp), and
// sturdy_pool.hpp has the repair.
//
//               one task       all of an input, results together     results one by one
//   waits       apply          map, starmap
//   returns     apply_async    map_async, starmap_async              imap, imap_unordered
#pragma once

#include <ranges>

#include "iterator.hpp"
#include "readers.hpp"
#include "results.hpp"

namespace lab::pool {

/// Tasks are named (register_task) and R is what they return; None for void. Results that wait take a timeout; without
/// one they wait as long as it takes. All may be called from any thread.
class Pool {
 public:
  /// Starts the workers. From then on the program ignores SIGPIPE, unless it had other plans for it. Throws
  /// std::invalid_argument for options that make no sense; std::system_error when a worker cannot be started, after
  /// ending those that were.
  explicit Pool(Options options = {}) : Pool(std::move(options), std::make_unique<Conduct>()) {}
  /// terminate(), not close() and join(): leaving the scope ends what is still running.
  ~Pool() {
    try {
      crew_.terminate();                 // which lets the readers go
    } catch (const std::logic_error&) {  // the result handler had died
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// One task in one worker; waits for it.
  template <class R, class... Args>
  R apply(const std::string& task, const Args&... args) {
    return apply_async<R>(task, std::tie(args...)).get();
  }
  template <class R, class... Args>
  AsyncResult<R> apply_async(const std::string& task, const std::tuple<Args...>& args, Callbacks<R> callbacks = {}) {
    crew_.check_running();
    Chunks chunk = cut(std::span(&args, 1), 1, sizeof...(Args), put_each);
    auto job = std::make_shared<ApplyJob<R>>(task, std::move(chunk.arguments), std::move(callbacks));
    crew_.submit(job, 1, chunk.refused);
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
  /// none at the end. A thread of the pool reads it to its end, whether or not anybody takes the results (a sturdy pool
  /// only keeps ahead of those who do, and lets go of it when they drop the Results): what it refers to must outlive the
  /// pool.
  template <class R, class Input>
  Results<R> imap(const std::string& task, Input input, std::ptrdiff_t chunk_size = 1) {
    return trickle<R>(task, std::move(input), chunk_size, true);
  }
  /// The same in the order in which chunks come back.
  template <class R, class Input>
  Results<R> imap_unordered(const std::string& task, Input input, std::ptrdiff_t chunk_size = 1) {
    return trickle<R>(task, std::move(input), chunk_size, false);
  }

  /// No more work is taken; what was submitted is done.
  void close() { crew_.close(); }
  /// Ends the workers, whatever they are doing; a thread cannot be ended and finishes its task. Throws std::logic_error
  /// when the result handler has died.
  void terminate() { crew_.terminate(); }
  /// Waits until all is done after close() or terminate(); false when the time is over first. The inputs of all imaps
  /// are then read to their ends, whoever may take the results.
  bool join(Timeout timeout = std::nullopt) { return crew_.join(timeout); }

  int size() const { return crew_.size(); }
  std::vector<pid_t> pids() const { return crew_.pids(); }  ///< of the workers as they are now

 protected:
  Pool(Options options, std::unique_ptr<Conduct> conduct) : crew_(std::move(options), std::move(conduct)) {}

 private:
  static constexpr auto put_each = [](Encoder& out, const auto& args) {
    std::apply([&](const auto&... arg) { (out.put(arg), ...); }, args);
  };
  template <class R, class Input, class Put>
  AsyncResult<std::vector<R>> spread(const std::string& task, Input& input, std::optional<std::ptrdiff_t> asked,
                                     Callbacks<std::vector<R>> callbacks, ArgumentCount each, Put put) {
    crew_.check_running();
    if constexpr (!std::ranges::sized_range<Input>) {
      std::vector<std::ranges::range_value_t<Input>> all;
      for (auto&& item : input) all.push_back(item);
      return spread<R>(task, all, asked, std::move(callbacks), each, put);
    } else {
      const std::size_t size = asked ? crew_.conduct().chunk_size(*asked)
                                     : default_chunk_size(std::size_t{std::ranges::size(input)}, crew_.size());
      Chunks chunks = cut(input, size, each, put);
      const std::size_t count = chunks.count();
      const auto refused = std::exchange(chunks.refused, {});
      auto job = std::make_shared<MapJob<R>>(task, std::move(chunks), std::move(callbacks));
      if (count == 0) {
        job->publish();  // without calling anybody back, as CPython does
        return AsyncResult<std::vector<R>>(job);
      }
      crew_.submit(job, count, refused);
      return AsyncResult<std::vector<R>>(job);
    }
  }

  template <class R, class Input>
  Results<R> trickle(const std::string& task, Input input, std::ptrdiff_t chunk_size, bool ordered) {
    crew_.check_running();
    if (chunk_size < 1) throw std::invalid_argument("the chunk size of imap must be at least 1");
    auto stream = std::make_shared<Stream<R>>(task, static_cast<std::size_t>(chunk_size), ordered);
    crew_.enter(stream);
    if (const auto error = attempt([&] { readers_.start(stream, std::move(input)); })) {  // no thread to read it
      crew_.leave(*stream);
      std::rethrow_exception(error);
    }
    return Results<R>(stream);
  }

  Crew crew_;
  Readers readers_{crew_};
};

}  // namespace lab::pool
