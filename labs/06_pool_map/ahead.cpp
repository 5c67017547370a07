#include "ahead.hpp"

#include <unistd.h>

#include <cerrno>

namespace lab::pool {
namespace {

using std::chrono::microseconds;

// The most chunks on their way to a worker; few enough bytes that the pipe takes them whole.
constexpr std::size_t kWindow = 16, kWindowBytes = 32 << 10;
static_assert(kWindow < Begun::kSlots);
constexpr microseconds kShort{200};   // what counts as short
constexpr microseconds kStuck{1000};  // what counts as long after all

}  // namespace

bool Ahead::full() const {
  if (sent_.empty()) return false;
  // A place in the shared memory is not used again before its chunk is done, however many are recalled meanwhile.
  return sent_.size() >= window_ || bytes_ > kWindowBytes || number_ + 1 - sent_.front().number >= Begun::kSlots;
}

void Ahead::send(const std::shared_ptr<Job>& job, std::size_t number) {
  const Job::Chunk chunk = job->chunk(number);
  Encoder frame{std::move(outbox_)};
  const std::size_t body = open_frame(frame.bytes);
  frame.put(++number_);
  frame.put(job->task);
  frame.put(std::uint64_t{chunk.items});
  frame.bytes += chunk.arguments;
  close_frame(frame.bytes, body);
  begun_->offer(number_);
  if (sent_.empty()) last_reply_ = Clock::now();
  sent_.push_back({job, number, number_, frame.bytes.size() - body});
  bytes_ += sent_.back().bytes;
  outbox_ = std::move(frame.bytes);
}

void Ahead::flush() {
  while (flushed_ < outbox_.size()) {
    const ssize_t n = ::write(tasks_.get(), outbox_.data() + flushed_, outbox_.size() - flushed_);
    if (n >= 0) {
      flushed_ += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      break;  // EPIPE: it has died, as its sentinel is about to tell
    }
  }
  outbox_.clear(), flushed_ = 0;
}

void Ahead::recall(std::deque<Span>& queue, std::size_t keep) {
  // The newest first, so that the oldest ends up in front.
  while (sent_.size() > keep && begun_->take_back(sent_.back().number)) {
    Sent& back = sent_.back();
    queue.push_front({std::move(back.job), back.chunk, back.chunk + 1});
    bytes_ -= back.bytes;
    sent_.pop_back();
  }
}

void Ahead::recall_if_stuck(std::deque<Span>& queue) {
  if (sent_.size() < 2 || Clock::now() - last_reply_ <= kStuck) return;
  recall(queue, 1);
  window_ = 1;
}

Sent Ahead::answered(std::uint64_t number) {
  if (sent_.empty() || sent_.front().number != number) throw Garbled("it replies to what it was not sent");
  Sent sent = std::move(sent_.front());
  sent_.pop_front();
  bytes_ -= sent.bytes;
  return sent;
}

void Ahead::replied(std::size_t replies) {
  const auto now = Clock::now();
  const bool fast = now - last_reply_ < kShort * replies;
  window_ = fast ? std::min(window_ * 2, kWindow) : 1;
  last_reply_ = now;
}

}  // namespace lab::pool
