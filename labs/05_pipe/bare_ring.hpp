// The floor under the ring: a single-producer single-consumer ring of bytes and nothing else. No sleeping, no deadline,
// no closing, nothing checked: only for two ends that trust each other, both run, and end together.
#pragma once

#include "common/multiprocessing/pipe/ring.hpp"

namespace lab::pipe {

class BareRing {
 public:
  static constexpr std::size_t kCapacity = 1 << 16;

  void send(std::string_view message) {
    auto length = static_cast<std::uint32_t>(message.size());
    while (kCapacity - (own_ - seen_) < sizeof length + length) seen_ = words_->taken.load(std::memory_order_acquire);
    copy<true>(&length, sizeof length);
    copy<true>(const_cast<char*>(message.data()), length);
    words_->written.store(own_, std::memory_order_release);
  }

  /// Returns the length of the message it has put into the buffer, which must be large enough.
  std::size_t receive(std::span<std::byte> buffer) {
    std::uint32_t length = 0;
    while (seen_ == own_) seen_ = words_->written.load(std::memory_order_acquire);
    copy<false>(&length, sizeof length);
    copy<false>(buffer.data(), length);
    words_->taken.store(own_, std::memory_order_release);
    return length;
  }

 private:
  struct Words {
    alignas(64) std::atomic<std::uint64_t> written{0};
    alignas(64) std::atomic<std::uint64_t> taken{0};
  };

  template <bool into_ring>
  void copy(void* user, std::size_t n) {
    copy_around<into_ring>(bytes_.begin(), kCapacity, own_, user, n);
    own_ += n;
  }

  Shared<Words> words_;
  SharedArray<std::byte> bytes_{kCapacity};
  std::uint64_t own_ = 0, seen_ = 0;  // each process has its own after fork
};

}  // namespace lab::pipe
