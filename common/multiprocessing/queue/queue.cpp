#include "common/multiprocessing/queue/queue.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace lab::queue {
namespace {

using std::chrono::nanoseconds;
constexpr auto kSlice = std::chrono::milliseconds(50);  // asleep no longer than this without a look around

void check_length(std::size_t length, std::size_t longest) {
  if (length > longest)
    throw MessageError(fmt::format("an item of {} bytes is longer than the {} that this queue takes", length, longest));
}

void set_timeout(const Descriptor& socket, int option) {
  const timeval slice{0, std::chrono::microseconds(kSlice).count()};
  if (::setsockopt(socket.get(), SOL_SOCKET, option, &slice, sizeof slice) < 0) throw_errno("cannot make a queue");
}

}  // namespace

PacketQueue::PacketQueue(std::uint32_t capacity) : capacity_(capacity), ends_(make_socket_pair(SOCK_SEQPACKET)) {
  if (capacity < 1 || capacity > kMost)
    throw std::invalid_argument(fmt::format("a queue of packets holds 1 to {} items, not {}", kMost, capacity));
  set_timeout(ends_.first, SO_RCVTIMEO);
  set_timeout(ends_.second, SO_SNDTIMEO);
}

std::size_t PacketQueue::size() const {
  const std::uint64_t taken = words_->taken.load();  // first, or it might be ahead
  return std::min<std::uint64_t>(words_->sent.load() - taken, capacity_);
}

void PacketQueue::wait_for_room(std::uint64_t number, Deadline deadline) {
  Words& words = *words_;
  while (number - words.taken.load() >= capacity_) {
    // A consumer that was killed between its read and its word has taken what nobody counts. Nothing to read is proof:
    // no producer but this one can put anything now.
    if (!wait_for(ends_.first.get(), POLLIN, Clock::now())) return words.taken.store(number);
    words.writer_sleeps.store(1);  // first say so, then look once more: see ring.cpp
    if (number - words.taken.load() >= capacity_)
      futex_wait(words.writer_sleeps, 1, std::min(deadline, Clock::now() + kSlice));
    if (number - words.taken.load() >= capacity_ && Clock::now() >= deadline)
      throw Full("the queue stayed full until the deadline");
  }
}

void PacketQueue::put_bytes(std::string_view item, Timeout timeout) {
  check_length(item.size(), kLongest);
  if (!words_->writers.lock_for(timeout)) throw Full("another producer held the queue until the deadline");
  const Unlock unlock{words_->writers};
  const std::uint64_t number = words_->sent.load();
  const Deadline deadline = timeout.deadline();
  wait_for_room(number, deadline);
  // Counted before it is sent. If this process is killed in between, a number is missing, and the next packet that is
  // got makes up for it; the other way round the queue might hold one item too many.
  words_->sent.store(number + 1);
  const std::array<iovec, 2> parts{iovec{const_cast<std::uint64_t*>(&number), sizeof number},
                                   {const_cast<char*>(item.data()), item.size()}};
  msghdr packet{};
  packet.msg_iov = const_cast<iovec*>(parts.data());
  packet.msg_iovlen = parts.size();
  while (::sendmsg(ends_.second.get(), &packet, MSG_NOSIGNAL) < 0) {
    const int error = errno;
    if ((error == EINTR || error == EAGAIN) && Clock::now() < deadline) continue;
    words_->sent.store(number);
    if (error == EINTR || error == EAGAIN) throw Full("the queue's buffer stayed full until the deadline");
    errno = error;
    throw_errno("cannot put an item into a queue");
  }
}

std::string PacketQueue::get_bytes(Timeout timeout) {
  static thread_local const auto packet = std::make_unique<char[]>(sizeof(std::uint64_t) + kLongest + 1);
  const Deadline deadline = timeout.deadline();
  ssize_t got = 0;
  for (int flags = MSG_DONTWAIT;;) {  // most items are there already
    got = ::recv(ends_.first.get(), packet.get(), sizeof(std::uint64_t) + kLongest + 1, flags);
    if (got >= 0) break;
    if (errno != EINTR && errno != EAGAIN) throw_errno("cannot get an item from a queue");
    const auto left = deadline - Clock::now();
    if (left <= nanoseconds(0)) throw Empty("no item came before the deadline");
    flags = left > kSlice ? 0 : MSG_DONTWAIT;  // asleep in recv only one of many is woken, in poll all are
    if (flags != 0) wait_for(ends_.first.get(), POLLIN, deadline);
  }
  const auto length = static_cast<std::size_t>(got);
  std::uint64_t number = 0;
  if (length < sizeof number || length > sizeof number + kLongest)
    throw MessageError(fmt::format("a packet of {} bytes came out of the queue, which no producer of ours sends", got));
  std::memcpy(&number, packet.get(), sizeof number);
  Words& words = *words_;
  for (std::uint64_t seen = words.taken.load(); seen <= number && number < words.sent.load();) {
    if (words.taken.compare_exchange_weak(seen, number + 1)) break;
  }
  if (size() <= capacity_ / 2 && words.writer_sleeps.load() != 0 && words.writer_sleeps.exchange(0) != 0)
    futex_wake(words.writer_sleeps);  // not for a single free slot: see publish()
  return {packet.get() + sizeof number, length - sizeof number};
}

RingQueue::RingQueue(std::uint32_t capacity, std::size_t longest)
    : capacity_(capacity),
      longest_(longest),
      slot_bytes_((sizeof(std::uint32_t) + longest + 7) / 8 * 8),
      slots_(capacity < 1 || capacity > 1u << 20 || longest > 1u << 20
                 ? throw std::invalid_argument("a ring has 1 to 2^20 slots, for items of up to 1 MiB")
                 : capacity * slot_bytes_) {}

std::size_t RingQueue::size() const {
  const std::uint64_t taken = words_->consumers.position.load();
  return std::min<std::uint64_t>(words_->producers.position.load() - taken, capacity_);
}

std::byte* RingQueue::slot(std::uint64_t position) const { return &slots_[position % capacity_ * slot_bytes_]; }

// Waits until the other side's position is no longer `from`; false at the deadline. The lock stays taken: those behind
// us wait for it, and if we are killed one of them takes our place.
bool RingQueue::wait_until_moved(Side& own, const Side& other, std::uint64_t from, Deadline deadline) {
  while (other.position.load() == from) {
    own.sleeps.store(1);  // first say so, then look once more: see ring.cpp
    if (other.position.load() == from) futex_wait(own.sleeps, 1, std::min(deadline, Clock::now() + kSlice));
    own.sleeps.store(0, std::memory_order_relaxed);
    if (Clock::now() >= deadline && other.position.load() == from) return false;
  }
  return true;
}

// A consumer is woken for one item. A producer that found the queue full is woken when half of it is free, as the kernel
// does with its sockets, or else it would sleep and be woken for each item; kSlice bounds how late it notices fewer.
void RingQueue::publish(Side& own, Side& other, std::uint64_t position) {
  own.position.store(position);
  if (&own == &words_->consumers && own.theirs_seen - position > capacity_ / 2) return;
  if (other.sleeps.load() != 0 && other.sleeps.exchange(0) != 0) futex_wake(other.sleeps, 1);
}

void RingQueue::put_bytes(std::string_view item, Timeout timeout) {
  check_length(item.size(), longest_);
  Side &own = words_->producers, &other = words_->consumers;
  if (!own.lock.lock_for(timeout)) throw Full("another producer held the queue until the deadline");
  const Unlock unlock{own.lock};
  const std::uint64_t at = own.position.load(std::memory_order_relaxed);
  if (at - own.theirs_seen >= capacity_) own.theirs_seen = other.position.load();
  if (at - own.theirs_seen >= capacity_) {
    if (!wait_until_moved(own, other, own.theirs_seen, timeout.deadline()))
      throw Full("the queue stayed full until the deadline");
    own.theirs_seen = other.position.load();
  }
  const auto length = static_cast<std::uint32_t>(item.size());
  std::memcpy(slot(at), &length, sizeof length);
  std::memcpy(slot(at) + sizeof length, item.data(), length);
  publish(own, other, at + 1);
}

std::string RingQueue::get_bytes(Timeout timeout) {
  Side &own = words_->consumers, &other = words_->producers;
  if (!own.lock.lock_for(timeout)) throw Empty("another consumer waited for the next item until the deadline");
  const Unlock unlock{own.lock};
  const std::uint64_t at = own.position.load(std::memory_order_relaxed);
  if (own.theirs_seen == at) own.theirs_seen = other.position.load();
  if (own.theirs_seen == at) {
    if (!wait_until_moved(own, other, at, timeout.deadline())) throw Empty("no item came before the deadline");
    own.theirs_seen = other.position.load();
  }
  std::uint32_t length = 0;
  std::memcpy(&length, slot(at), sizeof length);
  if (length > longest_) {
    publish(own, other, at + 1);  // or everybody would find it again
    throw MessageError(fmt::format("an item of {} bytes came out of the queue, which takes {}", length, longest_));
  }
  std::string item(reinterpret_cast<const char*>(slot(at) + sizeof length), length);
  publish(own, other, at + 1);
  return item;
}

}  // namespace lab::queue
