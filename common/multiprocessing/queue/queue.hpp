// Queues between processes that a killed producer or consumer costs no more than the item in its hand.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "common/multiprocessing/queue/robust_mutex.hpp"
#include "common/os/codec.hpp"
#include "common/os/descriptor.hpp"
#include "common/os/futex.hpp"
#include "common/os/mapping.hpp"

namespace lab::queue {

/// The deadline of a get or put passed: Python's queue.Empty and queue.Full.
struct Empty : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Full : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Where no timeout is given. A timeout is for each wait: for the lock, and then for the item or the room.
inline constexpr std::chrono::nanoseconds kPatience = std::chrono::seconds(60);

/// An item's way through the kernel: a pair of Unix sockets that keep packets apart. The kernel puts and takes a packet
/// whole or not at all, so readers need no lock, and nobody can be killed in the middle of one. Made before the
/// processes that use it are forked; any of them may put and get. FIFO for each producer.
class PacketQueue {
 public:
  static constexpr std::uint32_t kMost = 128;        ///< items: as many small ones as a socket's buffer holds
  static constexpr std::size_t kLongest = 32 << 10;  ///< bytes of an item
  /// Holds at most `capacity` items; of long ones no more than fit into the socket's buffer, some 200 KiB. Throws
  /// std::invalid_argument for a capacity that is not 1 to kMost, std::system_error.
  explicit PacketQueue(std::uint32_t capacity = kMost);

  /// Throws Full, MessageError for an item longer than kLongest, std::system_error.
  void put_bytes(std::string_view item, Timeout timeout = kPatience);
  /// Throws Empty, MessageError for a packet that no put sends, std::system_error.
  std::string get_bytes(Timeout timeout = kPatience);
  /// Items put and not yet got, as far as one can know while others put and get.
  std::size_t size() const;

  /// The same for a value, through the codec; get throws MessageError for an item that is no T.
  template <class T>
  void put(const T& value, Timeout timeout = kPatience) {
    put_bytes(encode(value), timeout);
  }
  template <class T>
  T get(Timeout timeout = kPatience) {
    return decode<T>(get_bytes(timeout));
  }

 private:
  struct Words {
    RobustMutex writers;
    alignas(64) std::atomic<std::uint64_t> sent{0};   // of packets, each with its number
    alignas(64) std::atomic<std::uint64_t> taken{0};  // one beyond the highest number that was got
    FutexWord writer_sleeps{0};
  };
  void wait_for_room(std::uint64_t number, Deadline deadline);

  std::uint32_t capacity_;
  std::pair<Descriptor, Descriptor> ends_;  // receiver, sender
  Shared<Words> words_;
};

/// An item's way through shared memory: a ring of equal slots, with a robust lock for its producers and one for its
/// consumers. An item is there when `written` says so and gone when `taken` does; whoever is killed before that store
/// has done nothing. Made before fork; FIFO for each producer.
class RingQueue {
 public:
  /// Throws std::invalid_argument for no slot or more than 2^20, or items longer than 1 MiB; std::system_error.
  RingQueue(std::uint32_t capacity, std::size_t longest);

  void put_bytes(std::string_view item, Timeout timeout = kPatience);  ///< as PacketQueue's
  std::string get_bytes(Timeout timeout = kPatience);
  std::size_t size() const;

  template <class T>
  void put(const T& value, Timeout timeout = kPatience) {
    put_bytes(encode(value), timeout);
  }
  template <class T>
  T get(Timeout timeout = kPatience) {
    return decode<T>(get_bytes(timeout));
  }

 private:
  struct Side {  // what one side's lock guards, and the word on which it sleeps
    RobustMutex lock;
    std::uint64_t theirs_seen = 0;  // the other side's position, as last looked at: its line is theirs
    alignas(64) std::atomic<std::uint64_t> position{0};
    alignas(64) FutexWord sleeps{0};
  };
  struct Words {
    alignas(64) Side producers, consumers;
  };
  bool wait_until_moved(Side& own, const Side& other, std::uint64_t from, Deadline deadline);
  void publish(Side& own, Side& other, std::uint64_t position);
  std::byte* slot(std::uint64_t position) const;

  std::uint32_t capacity_;
  std::size_t longest_, slot_bytes_;
  Shared<Words> words_;
  SharedArray<std::byte> slots_;
};

}  // namespace lab::queue
