// A ring of bytes in shared memory that carries messages from one sender to one receiver, without the kernel as long as
// nobody has to wait; a futex wakes who sleeps.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/os/futex.hpp"
#include "common/os/mapping.hpp"
#include "common/os/message.hpp"

namespace lab::pipe {

/// How both ends wait: asleep until woken (blocking), or looking again and again (spinning). Spinning costs a CPU, and
/// is quicker only while the other end runs on another one; in return nobody need look whether the peer sleeps.
enum class Waiting { blocking, spinning };

/// A wait has reached its deadline.
struct TimedOut : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The process at the other end has ended without closing it.
struct PeerDied : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What both ends see. Positions count the bytes ever written and ever taken; they are not reduced to the ring's size,
/// so that full and empty differ. Each word has a cache line of its own: a line that the other end writes often must
/// not hold a word that this end reads at every message.
struct RingWords {
  struct End {
    alignas(64) std::atomic<std::uint64_t> position;  ///< this end's alone to change
    alignas(64) FutexWord sleeps;
    alignas(64) std::atomic<std::uint32_t> closed;
  };
  End sender, receiver;
};

/// Copies n bytes into a ring of that capacity (a power of two), or out of it, from that position on and around its end.
/// Inline, for a length is always 4 bytes: a call of memcpy would cost more than they do.
template <bool into_ring>
inline void copy_around(std::byte* ring, std::size_t capacity, std::uint64_t position, void* user, std::size_t n) {
  const std::size_t at = position & (capacity - 1), first = capacity - at;
  const auto move = [](void* inside, void* outside, std::size_t count) {
    std::memcpy(into_ring ? inside : outside, into_ring ? outside : inside, count);
  };
  if (n <= first) return move(ring + at, user, n);
  move(ring + at, user, first);
  move(ring, static_cast<std::byte*>(user) + first, n - first);
}

/// The memory of a ring. Made before fork, or mapped by both from one memfd.
class Ring {
 public:
  /// `capacity` bytes, rounded up to a power of two. Longer messages pass through in pieces.
  explicit Ring(std::size_t capacity, Waiting waiting = Waiting::blocking);
  /// On memory shared with a peer, all of it (a power of two of which is used); both must name the same `waiting`.
  /// Fresh memory is an empty ring. Throws std::invalid_argument when there is too little.
  explicit Ring(Mapping memory, Waiting waiting = Waiting::blocking);

  RingWords& words() const { return *reinterpret_cast<RingWords*>(memory_.data()); }
  std::byte* data() const { return memory_.data() + sizeof(RingWords); }
  std::size_t capacity() const { return capacity_; }
  Waiting waiting() const { return waiting_; }

 private:
  Mapping memory_;
  std::size_t capacity_;
  Waiting waiting_;
};

/// What the two ends have in common. An end keeps its own position and the ring's size in private memory: of what a
/// peer can write nothing is believed. One thread at a time uses an end; the ring must outlive it; each ring has one of
/// either. `timeout` is for each wait for the peer: one for a message that fits into the ring, one a piece for a longer
/// one.
class RingEnd {
 public:
  ~RingEnd() = default;
  /// No more messages from this end, or to it. What was sent can still be taken.
  void close();
  bool closed() const { return closed_; }

 protected:
  enum class Side { sender, receiver };
  RingEnd(const Ring& ring, Side side, int peer);

  /// How many bytes this end may go on: at least `least`, fewer only when the peer has closed. Waits.
  std::size_t room(std::size_t least, Timeout timeout);
  std::size_t look();  ///< The same, now. Throws MessageError for a position that no honest peer can have.
  void publish();      ///< Shows the peer how far this end is, and wakes it if it sleeps.
  template <bool into_ring>
  void copy(void* user, std::size_t n);
  void check_open() const;
  [[noreturn]] void refuse(const std::string& sentence);  ///< Closes this end and throws MessageError.
  bool peer_closed() const { return theirs_.closed.load(std::memory_order_acquire) != 0; }

  const std::size_t capacity_;

 private:
  std::size_t known() const;
  bool wait(std::size_t least, Timeout timeout);
  bool spin(std::size_t least);

  std::byte* const data_;
  const bool sends_, spins_;
  const int peer_;
  RingWords::End &mine_, &theirs_;
  std::uint64_t own_, theirs_seen_;  // positions: this end's, the other's as last seen
  bool closed_ = false;
};

class RingSender : public RingEnd {
 public:
  /// `peer` is the receiving process's sentinel, borrowed; -1: none, and only the timeout tells that it is gone.
  explicit RingSender(const Ring& ring, int peer = -1) : RingEnd(ring, Side::sender, peer) {}
  /// Throws TimedOut, PeerDied, MessageError for impossible positions, std::system_error (EPIPE) when the receiver has
  /// closed, NotOpen after close(). After TimedOut a message that fits into the ring was not sent at all; of a longer
  /// one a part may have been, so that this end is closed.
  void send(std::string_view message, Timeout timeout = std::chrono::seconds(60));
};

class RingReceiver : public RingEnd {
 public:
  explicit RingReceiver(const Ring& ring, int peer = -1) : RingEnd(ring, Side::receiver, peer) {}
  /// One message. Throws EndOfFile when the sender has closed and all is taken, TimedOut, PeerDied, NotOpen, and
  /// MessageError for a length beyond `maximum`, an end inside a message, or impossible positions. After a
  /// MessageError, and after a wait that failed inside a message, this end is closed.
  std::string recv(Timeout timeout = std::chrono::seconds(60), std::size_t maximum = kMessageLimit);
  /// The same into a buffer, whose size is the maximum; returns the message's length.
  std::size_t recv_into(std::span<std::byte> buffer, Timeout timeout = std::chrono::seconds(60));

 private:
  std::size_t take_length(Timeout timeout, std::size_t maximum);
  void take_body(std::span<std::byte> body, Timeout timeout);
};

}  // namespace lab::pipe
