// What imap returns: results one by one while later tasks still run.
#pragma once

#include <iterator>

#include "stream.hpp"

namespace lab::pool {

/// The results of imap or imap_unordered, for one thread at a time: call next(), or loop over it once.
template <class R>
class Results {
 public:
  explicit Results(const std::shared_ptr<Stream<R>>& stream)
      : stream_(stream.get(), [stream](Stream<R>* dropped) { dropped->drop(); }) {}

  /// The next result; none at the end. Throws the error of the task whose turn it is: with chunks of 1 one may go on
  /// after it; with larger ones it is the end, and the good items of that chunk are lost, as in CPython. Throws
  /// TimeoutError, after which nothing is lost; a timeout with larger chunks is refused (std::logic_error).
  std::optional<R> next(const Timeout& timeout = {}) {
    if (timeout && stream_->size() > 1) throw std::logic_error("next() has a timeout only with a chunk size of 1");
    while (at_ == part_.size()) {
      if (dead_) return std::nullopt;
      auto part = stream_->take(timeout);
      if (!part) return std::nullopt;
      if (part->error) {
        dead_ = stream_->size() > 1;
        std::rethrow_exception(part->error);
      }
      part_ = std::move(part->values);
      at_ = 0;
    }
    return std::move(part_[at_++]);
  }

  class Iterator {
   public:
    using value_type = R;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(Results* results = nullptr) : results_(results) { ++*this; }
    const R& operator*() const { return *value_; }
    Iterator& operator++() {
      if (results_) value_ = results_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !value_; }

   private:
    Results* results_;
    std::optional<R> value_;
  };
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  std::shared_ptr<Stream<R>> stream_;
  std::vector<R> part_;
  std::size_t at_ = 0;
  bool dead_ = false;
};

}  // namespace lab::pool
