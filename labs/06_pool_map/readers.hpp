// The reading of imap's inputs: each by a thread of its own, while the results are already taken.
#pragma once

#include <atomic>
#include <list>
#include <thread>

#include "chunks.hpp"
#include "crew.hpp"
#include "stream.hpp"

namespace lab::pool {

/// Its destructor waits until all inputs have ended or nobody wants their results any more (Job::stop).
class Readers {
 public:
  explicit Readers(Crew& crew) : crew_(crew) {}

  /// Reads an input, a range or a function that returns the next item, and gives its chunks to the crew.
  template <class R, class Input>
  void start(std::shared_ptr<Stream<R>> stream, Input input) {
    const std::lock_guard lock(mutex_);
    std::erase_if(readers_, [](const Reader& reader) { return reader.done->load(); });
    const auto done = std::make_shared<std::atomic<bool>>(false);
    std::jthread thread([this, stream, done, input = std::move(input)]() mutable {
      if constexpr (std::is_invocable_v<Input&>) {
        read(stream, input);
      } else {
        using Item = std::optional<std::ranges::range_value_t<Input>>;
        std::optional<std::ranges::iterator_t<Input>> at;
        read(stream, [&] {  // begin() is the input's code as much as ++ is, and may throw
          if (at) {
            ++*at;
          } else {
            at = std::ranges::begin(input);
          }
          return *at == std::ranges::end(input) ? Item() : Item(**at);
        });
      }
      done->store(true);
    });
    readers_.push_back({std::move(thread), done});
  }

 private:
  // An error of the input takes the place of the chunk it was to be part of.
  template <class R, class Next>
  void read(const std::shared_ptr<Stream<R>>& stream, Next&& next) {
    std::exception_ptr broken;
    for (bool more = true; more && !broken;) {
      Encoder arguments;
      arguments.put(ArgumentCount{1});
      std::exception_ptr refused;
      std::size_t items = 0;
      broken = attempt([&] {
        for (; items < stream->size(); ++items) {
          const auto item = next();
          if (!(more = item.has_value())) break;
          if (!refused) refused = attempt([&] { arguments.put(*item); });
        }
      });
      if (broken || items == 0) break;
      if (!refused) refused = attempt([&] { check_fits(arguments.bytes.size()); });
      const auto chunk = stream->add(std::move(arguments.bytes), items, crew_.conduct().read_ahead());
      if (!chunk && stream->stopped()) return;
      if (!chunk) break;  // nobody will take what is read from here on
      if (refused) {
        stream->accept(*chunk, {.error = refused});
      } else {
        crew_.give(stream, *chunk, *chunk + 1);
      }
    }
    if (stream->end(broken)) crew_.leave(*stream);
  }

  struct Reader {
    std::jthread thread;
    std::shared_ptr<std::atomic<bool>> done;
  };
  Crew& crew_;
  std::mutex mutex_;
  std::list<Reader> readers_;
};

}  // namespace lab::pool
