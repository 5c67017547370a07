#include "pipeline.hpp"

#include <unistd.h>

#include <cerrno>

namespace lab::pool {
namespace {

// The most chunks on their way to a worker; few enough bytes that the pipe takes them whole.
constexpr std::size_t kWindow = 16, kWindowBytes = 32 << 10;
static_assert(kWindow < Begun::kSlots);
constexpr std::chrono::microseconds kShort{200};  // what counts as short

}  // namespace

bool Pipeline::full() const {
  if (in_flight_.empty()) return false;
  // A place in the shared memory is not used again before its chunk is done, however many are taken back meanwhile.
  return in_flight_.size() >= window_ || bytes_ > kWindowBytes ||
         number_ + 1 - in_flight_.front().number >= Begun::kSlots;
}

void Pipeline::send(const std::shared_ptr<Job>& job, std::size_t number, const Job::Chunk& chunk) {
  Encoder frame{std::move(outbox_)};
  const std::size_t body = open_frame(frame.bytes);
  frame.put(++number_);
  frame.put(job->task);
  frame.put(std::uint64_t{chunk.items});
  frame.bytes += chunk.arguments;
  close_frame(frame.bytes, body);
  begun_->offer(number_);
  if (in_flight_.empty()) last_reply_ = Clock::now();
  in_flight_.push_back({job, number, number_, frame.bytes.size() - body});
  bytes_ += in_flight_.back().bytes;
  outbox_ = std::move(frame.bytes);
}

void Pipeline::send_sentinel() { close_frame(outbox_, open_frame(outbox_)); }

void Pipeline::flush() {
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

void Pipeline::take_back(std::deque<Waiting>& queue, std::size_t keep) {
  // The newest first, so that the oldest ends up in front.
  while (in_flight_.size() > keep && begun_->take_back(in_flight_.back().number)) {
    InFlight& back = in_flight_.back();
    queue.push_front({std::move(back.job), back.chunk, back.chunk + 1});
    bytes_ -= back.bytes;
    in_flight_.pop_back();
  }
}

InFlight Pipeline::answered(std::uint64_t number) {
  if (in_flight_.empty() || in_flight_.front().number != number) throw Garbled("it replies to what it was not sent");
  InFlight sent = std::move(in_flight_.front());
  in_flight_.pop_front();
  bytes_ -= sent.bytes;
  ++answered_;
  return sent;
}

void Pipeline::replied(std::size_t replies) {
  const auto now = Clock::now();
  const bool fast = now - last_reply_ < kShort * replies;
  window_ = fast ? std::min(window_ * 2, kWindow) : 1;
  last_reply_ = now;
}

}  // namespace lab::pool
