// An imap: a job whose input is still being read, by a thread of its own, while its first results are already taken.
#pragma once

#include <map>

#include "chunks.hpp"

namespace lab::pool {

/// Chunks come in from the reader of the input (read), replies from the result handler; parts go out to who takes
/// the results.
template <class R>
class Stream : public Job {
 public:
  Stream(std::string function, std::size_t size, bool ordered)
      : Job(std::move(function)), size_(size), ordered_(ordered) {}

  struct Part {
    std::vector<R> values;
    std::exception_ptr error;
  };

  // The reader's side. add() gives the chunk's number, after waiting while `ahead` chunks have been read that nobody
  // has taken; none when nobody wants it any more.
  std::optional<std::size_t> add(std::string arguments, std::size_t items, std::size_t ahead,
                                 std::exception_ptr refused = nullptr) {
    auto held = lock();
    const auto room = [&] { return added_ - taken_ < ahead || (read_on_ && !dropped_); };
    wait_until(held, {}, [&] { return stopped_ || dropped_ || room(); });
    if (stopped_ || !room()) return std::nullopt;
    chunks_.emplace(added_, Unanswered{std::move(arguments), items, std::move(refused)});
    return added_++;
  }
  /// The input has ended, by itself or by an error, which takes the next place. True when that completes the job.
  bool end(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    if (error) store(added_++, {{}, error});
    total_ = added_;
    changed_.notify_all();
    return arrived_ == total_;
  }
  /// Reads the input, and tells of each chunk. An error of the input takes the place of the chunk it was to be part of.
  template <class Input, class Give>
  bool read(Input& input, std::size_t ahead, Give give) {
    const auto put = [](Encoder& out, const auto& item) { out.put(item); };
    const auto full = [&](std::string& bytes, std::size_t items, std::exception_ptr refused) {
      const auto chunk = add(std::exchange(bytes, {}), items, ahead, std::move(refused));
      if (chunk) give(*chunk);
      return chunk.has_value();  // else nobody will take what is read from here on
    };
    return end(attempt([&] { cut(input, size_, 1, put, full); }));
  }
  void stop() override { set(stopped_); }
  void read_on() override { set(read_on_); }
  /// Nobody holds its Results any more. In a forked copy nobody reads, either.
  void drop() {
    if (::getpid() == owner_) set(dropped_);
  }

  Chunk chunk(std::size_t number) const override {
    const std::lock_guard lock(mutex_);
    const Unanswered& one = chunks_.at(number);
    return {one.arguments, number * size_, one.items, one.refused};
  }
  bool accept(std::size_t number, const Outcome& outcome) override {
    Part part{{}, outcome.error};
    if (!part.error) {  // decoded without the lock: that is the user's code
      Decoder in(outcome.values);
      for (std::size_t items = chunk(number).items; items > 0; --items) part.values.push_back(in.template get<R>());
      in.finish();
    }
    const std::lock_guard lock(mutex_);
    chunks_.erase(number);
    store(number, std::move(part));
    return arrived_ == total_;
  }
  void publish() override {}  // it has no callbacks
  void abandon(const std::exception_ptr& error) override {
    const std::lock_guard lock(mutex_);
    abandoned_ = error;
    stopped_ = true;
    changed_.notify_all();
  }

  /// The next part in order (of input, or of arrival); none at the end. Throws TimeoutError.
  std::optional<Part> take(const Timeout& timeout) {
    auto held = lock();
    if (!wait_until(held, timeout, [&] { return stored_.contains(taken_) || taken_ == total_ || abandoned_; }))
      throw TimeoutError();
    const auto found = stored_.find(taken_);
    if (found == stored_.end()) {
      if (taken_ == total_) return std::nullopt;
      total_ = taken_;  // the error once, then the end
      return Part{{}, abandoned_};
    }
    Part part = std::move(found->second);
    stored_.erase(found);
    ++taken_;
    changed_.notify_all();  // the reader may be waiting for room
    return part;
  }
  std::size_t size() const { return size_; }

 private:
  struct Unanswered {
    std::string arguments;
    std::size_t items;
    std::exception_ptr refused;
  };
  void set(bool& flag) {
    const std::lock_guard lock(mutex_);
    flag = true;
    changed_.notify_all();
  }
  // Under one key or the other the next part is always stored_[taken_].
  void store(std::size_t number, Part part) {
    stored_.emplace(ordered_ ? number : arrived_, std::move(part));
    ++arrived_;
    changed_.notify_all();
  }

  const std::size_t size_;
  const bool ordered_;
  std::map<std::size_t, Unanswered> chunks_;
  std::map<std::size_t, Part> stored_;  // answered, not yet taken
  std::size_t added_ = 0, arrived_ = 0, taken_ = 0;
  std::optional<std::size_t> total_;  // known once the input has ended
  std::exception_ptr abandoned_;
  bool stopped_ = false, read_on_ = false, dropped_ = false;
};

}  // namespace lab::pool
