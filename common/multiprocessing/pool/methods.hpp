// The eight methods of a pool, for whoever can submit a job: they cut the input into chunks and make the job that takes
// the results in.
#pragma once

#include "iterator.hpp"
#include "results.hpp"

namespace lab::pool {

/// Tasks are named (register_task) and R is what they return; None for void. Results that wait take a timeout; without
/// one they wait as long as it takes. All may be called from any thread.
class Methods {
 public:
  /// One task in one worker; waits for it.
  template <class R, class... Args>
  R apply(const std::string& task, const Args&... args) {
    return apply_async<R>(task, std::tie(args...)).get();
  }
  template <class R, class... Args>
  AsyncResult<R> apply_async(const std::string& task, const std::tuple<Args...>& args, Callbacks<R> callbacks = {}) {
    auto chunks = chunks_of(std::span(&args, 1), 1, sizeof...(Args), put_each);
    auto job = std::make_shared<ApplyJob<R>>(task, std::move(chunks), std::move(callbacks));
    submit(job, 1);
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
    return start_map<R>(task, items, chunk_size, std::move(callbacks), 1,
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
    return start_map<R>(task, items, chunk_size, std::move(callbacks),
                        std::tuple_size_v<std::ranges::range_value_t<Input>>, put_each);
  }

  /// Results one by one, in the order of the items. The input is a range, or a function that returns the next item,
  /// none at the end. A thread of the pool reads it; what it refers to must outlive the pool.
  template <class R, class Input>
  Results<R> imap(const std::string& task, Input input, std::ptrdiff_t chunk_size = 1) {
    return start_imap<R>(task, std::move(input), chunk_size, true);
  }
  /// The same in the order in which chunks come back.
  template <class R, class Input>
  Results<R> imap_unordered(const std::string& task, Input input, std::ptrdiff_t chunk_size = 1) {
    return start_imap<R>(task, std::move(input), chunk_size, false);
  }

 protected:
  virtual ~Methods() = default;
  /// Items in a chunk of so many items in all, when the caller asked for this size. 0 makes no chunks.
  virtual std::size_t chunk_size(std::optional<std::ptrdiff_t> asked, std::size_t items) const = 0;
  /// Has the chunks of a job run; of none, publishes it: nobody is called back, as in CPython. Throws NotRunning.
  virtual void submit(const std::shared_ptr<Job>& job, std::size_t chunks) = 0;
  /// The same for chunks that are still to be read.
  virtual void submit_unread(const std::shared_ptr<Job>& job, const Read& read) = 0;

 private:
  static constexpr auto put_each = [](Encoder& out, const auto& args) {
    std::apply([&](const auto&... arg) { (out.put(arg), ...); }, args);
  };
  template <class R, class Input, class Put>
  AsyncResult<std::vector<R>> start_map(const std::string& task, Input& input, std::optional<std::ptrdiff_t> asked,
                                        Callbacks<std::vector<R>> callbacks, ArgumentCount each, Put put) {
    if constexpr (!std::ranges::sized_range<Input>) {
      std::vector<std::ranges::range_value_t<Input>> all;
      for (auto&& item : input) all.push_back(item);
      return start_map<R>(task, all, asked, std::move(callbacks), each, put);
    } else {
      Chunks chunks =
          chunks_of(input, chunk_size(asked, static_cast<std::size_t>(std::ranges::size(input))), each, put);
      const std::size_t count = chunks.count();
      auto job = std::make_shared<MapJob<R>>(task, std::move(chunks), std::move(callbacks));
      submit(job, count);
      return AsyncResult<std::vector<R>>(job);
    }
  }
  template <class R, class Input>
  Results<R> start_imap(const std::string& task, Input input, std::ptrdiff_t chunk_size, bool ordered) {
    if (chunk_size < 1) throw std::invalid_argument("the chunk size of imap must be at least 1");
    const auto stream = std::make_shared<Stream<R>>(task, static_cast<std::size_t>(chunk_size), ordered);
    submit_unread(stream, [stream, input = std::make_shared<Input>(std::move(input))](
                              std::size_t ahead, const auto& give) { return stream->read(*input, ahead, give); });
    return Results<R>(stream);
  }
};

}  // namespace lab::pool
