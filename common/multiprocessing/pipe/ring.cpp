#include "common/multiprocessing/pipe/ring.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

namespace lab::pipe {
namespace {

constexpr auto kSlice = std::chrono::milliseconds(50);  // asleep no longer than this without a look at the peer
constexpr unsigned kLooks = 1u << 14;                   // of a spinning end between two looks at clock and peer

void pause_a_little() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Ring::Ring(std::size_t capacity, Waiting waiting)
    : Ring(Mapping::anonymous(sizeof(RingWords) + std::bit_ceil(std::max<std::size_t>(capacity, 64))), waiting) {}

Ring::Ring(Mapping memory, Waiting waiting) : memory_(std::move(memory)), waiting_(waiting) {
  if (memory_.size() < sizeof(RingWords) + 64) {
    throw std::invalid_argument(fmt::format("a ring needs {} bytes of memory or more", sizeof(RingWords) + 64));
  }
  capacity_ = std::bit_floor(memory_.size() - sizeof(RingWords));
}

RingEnd::RingEnd(const Ring& ring, Side side, int peer)
    : capacity_(ring.capacity()),
      data_(ring.data()),
      sends_(side == Side::sender),
      spins_(ring.waiting() == Waiting::spinning),
      peer_(peer),
      mine_(sends_ ? ring.words().sender : ring.words().receiver),
      theirs_(sends_ ? ring.words().receiver : ring.words().sender),
      own_(mine_.position.load()),
      theirs_seen_(sends_ ? own_ - capacity_ : own_) {}  // until looked at: full for a sender, empty for a receiver

void RingEnd::close() {
  if (std::exchange(closed_, true)) return;
  mine_.closed.store(1);
  theirs_.sleeps.store(0);
  futex_wake(theirs_.sleeps);
}

void RingEnd::refuse(const std::string& sentence) {
  close();
  throw MessageError(sentence);
}

void RingEnd::check_open() const {
  if (closed_) throw NotOpen("this end of the ring is closed");
}

std::size_t RingEnd::known() const { return sends_ ? capacity_ - (own_ - theirs_seen_) : theirs_seen_ - own_; }

std::size_t RingEnd::look() {
  // Sequentially consistent, as the peer's store: see wait().
  const std::uint64_t seen = theirs_.position.load();
  const std::uint64_t used = sends_ ? own_ - seen : seen - own_;
  if (used > capacity_ || seen - theirs_seen_ > capacity_) {  // unsigned: a position that went back looks far ahead
    refuse("the peer's position in the ring is impossible: its memory is damaged, or it is hostile");
  }
  theirs_seen_ = seen;
  return known();
}

void RingEnd::publish() {
  if (spins_) return mine_.position.store(own_, std::memory_order_release);
  mine_.position.store(own_);
  if (theirs_.sleeps.load() != 0 && theirs_.sleeps.exchange(0) != 0) futex_wake(theirs_.sleeps, 1);
}

std::size_t RingEnd::room(std::size_t least, Timeout timeout) {
  if (known() >= least || look() >= least || !wait(least, timeout)) return known();
  return look();  // the peer has closed; all it did before is visible now
}

bool RingEnd::spin(std::size_t least) {
  for (unsigned looks = 0; looks < kLooks; ++looks) {
    if (look() >= least) return true;
    pause_a_little();
  }
  return false;
}

// Returns false when there is room, true when the peer has closed.
bool RingEnd::wait(std::size_t least, Timeout timeout) {
  if (spins_ && spin(least)) return false;  // most waits are shorter than a look at the clock is worth
  const Deadline deadline = timeout.deadline();
  for (;;) {
    if (spins_) {
      if (spin(least)) return false;
    } else {
      // First say "I sleep", then look; the peer first shows its position, then looks who sleeps. In one order for all
      // (sequential consistency) one of the two sees the other's store: no wake-up is lost.
      mine_.sleeps.store(1);
      if (look() < least && !peer_closed()) futex_wait(mine_.sleeps, 1, std::min(deadline, Clock::now() + kSlice));
      mine_.sleeps.store(0, std::memory_order_relaxed);
      if (look() >= least) return false;
    }
    const bool dead = peer_ >= 0 && wait_for(peer_, POLLIN, Clock::now());
    if (peer_closed()) return true;
    if (look() >= least) return false;  // once more: what the peer did before it died counts
    if (dead) throw PeerDied("the process at the other end of the ring has died");
    if (Clock::now() >= deadline) {
      throw TimedOut(sends_ ? "the ring stayed full until the deadline"
                            : "no message came through the ring before the deadline");
    }
  }
}

template <bool into_ring>
inline void RingEnd::copy(void* user, std::size_t n) {
  copy_around<into_ring>(data_, capacity_, own_, user, n);
  own_ += n;
}

void RingSender::send(std::string_view message, Timeout timeout) {
  check_open();
  if (message.size() > UINT32_MAX) throw MessageError("a message cannot be longer than 4294967295 bytes");
  auto length = static_cast<std::uint32_t>(message.size());
  const bool fits = sizeof length + message.size() <= capacity_;
  const auto wait_for_room = [&](std::size_t least) {
    const std::size_t n = room(least, timeout);
    if (!peer_closed()) return n;
    errno = EPIPE;
    throw_errno("cannot send through a ring whose receiver has closed");
  };
  wait_for_room(fits ? sizeof length + message.size() : sizeof length);
  copy<true>(&length, sizeof length);
  if (fits) {
    copy<true>(const_cast<char*>(message.data()), message.size());
    return publish();
  }
  try {
    while (!message.empty()) {  // a quarter at a time: both ends copy, and neither wakes the other for a few bytes
      const std::size_t n = std::min(message.size(), wait_for_room(std::min(message.size(), capacity_ / 4)));
      copy<true>(const_cast<char*>(message.data()), n);
      publish();
      message.remove_prefix(n);
    }
  } catch (...) {
    close();  // what follows half a message cannot be told from it
    throw;
  }
}

std::size_t RingReceiver::take_length(Timeout timeout, std::size_t maximum) {
  check_open();
  std::uint32_t length = 0;
  const std::size_t there = room(sizeof length, timeout);
  if (there == 0) throw EndOfFile("end of file: the sender has closed the ring");
  if (there < sizeof length) refuse("got end of file during a message");
  copy<false>(&length, sizeof length);
  if (length > maximum)
    refuse(fmt::format("a message of {} bytes is beyond the maximum of {}; the ring is closed", length, maximum));
  return length;
}

void RingReceiver::take_body(std::span<std::byte> body, Timeout timeout) try {
  while (!body.empty()) {
    const std::size_t least = std::min(body.size(), capacity_ / 4), there = room(least, timeout);
    if (there < least) refuse("got end of file during a message");
    const std::size_t n = std::min(body.size(), there);
    copy<false>(body.data(), n);
    body = body.subspan(n);
    if (!body.empty()) publish();
  }
  publish();
} catch (...) {
  close();  // as the sender does
  throw;
}

std::size_t RingReceiver::recv_into(std::span<std::byte> buffer, Timeout timeout) {
  const std::size_t length = take_length(timeout, buffer.size());
  take_body(buffer.first(length), timeout);
  return length;
}

std::string RingReceiver::recv(Timeout timeout, std::size_t maximum) {
  std::string message(take_length(timeout, maximum), '\0');
  take_body(std::as_writable_bytes(std::span(message)), timeout);
  return message;
}

}  // namespace lab::pipe
