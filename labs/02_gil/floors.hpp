// What the lock itself costs beside its floors: a pair of take and drop beside a mutex's; a forced hand-over beside two
// futex wake-ups, there and back.
#pragma once

#include <benchmark/benchmark.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "common/harness/measure.hpp"
#include "gil.hpp"

namespace lab::gil {

using Nanoseconds = std::chrono::nanoseconds;
using SteadyClock = std::chrono::steady_clock;

/// Spins until `done` or 5 s are over. Returns whether it was done.
template <class Condition>
bool spin_until(Condition done) {
  const auto deadline = SteadyClock::now() + std::chrono::seconds(5);
  while (!done()) {
    if (SteadyClock::now() > deadline) return false;
  }
  return true;
}

/// Gives the other thread time to fall asleep again, so that both experiments wake a sleeper, and keeps this CPU awake.
inline void let_the_other_sleep() {
  const auto end = SteadyClock::now() + std::chrono::microseconds(50);
  while (SteadyClock::now() < end) {
  }
}

/// Two threads and a lock, of which the one that is made to let go times how long its drop() takes: it signals the
/// waiter (one wake-up), the waiter takes the lock and signals back (the other). All calls from the thread that made it.
class ForcedHandOver {
 public:
  /// `settle_in` runs first in the partner thread, to bind it to a CPU.
  explicit ForcedHandOver(std::function<void()> settle_in = [] {})
      : partner_([this, settle_in = std::move(settle_in)] { play(settle_in); }) {
    lock_.take();
  }
  ~ForcedHandOver() {
    stop_ = true;
    lock_.drop();
    partner_.join();
  }
  ForcedHandOver(const ForcedHandOver&) = delete;
  ForcedHandOver& operator=(const ForcedHandOver&) = delete;

  /// One hand-over. Throws std::runtime_error when nobody asks for the lock within 5 s.
  Nanoseconds once() {
    if (!spin_until([this] { return lock_.drop_requested(); })) throw std::runtime_error("nobody asked for the lock");
    let_the_other_sleep();
    const auto begin = SteadyClock::now();
    lock_.drop();
    const auto end = SteadyClock::now();
    lock_.take();
    return end - begin;
  }

  /// Two a hand-over, since the partner hands the lock back.
  std::uint64_t switches() const { return lock_.switches(); }

 private:
  void play(const std::function<void()>& settle_in) {
    settle_in();
    while (!stop_) {
      lock_.take();
      spin_until([this] { return lock_.drop_requested() || stop_; });
      let_the_other_sleep();
      lock_.drop();
    }
  }

  Gil lock_{std::chrono::microseconds(200)};  // long enough that the waiter is asleep again when the lock is dropped
  std::atomic<bool> stop_{false};
  std::thread partner_;
};

/// The same two wake-ups and nothing else: this thread wakes a sleeping partner and sleeps, the partner wakes it.
class TwoFutexWakeUps {
 public:
  explicit TwoFutexWakeUps(std::function<void()> settle_in = [] {})
      : partner_([this, settle_in = std::move(settle_in)] { play(settle_in); }) {}
  ~TwoFutexWakeUps() {
    stop_ = true;
    wake(to_partner_);
    partner_.join();
  }
  TwoFutexWakeUps(const TwoFutexWakeUps&) = delete;
  TwoFutexWakeUps& operator=(const TwoFutexWakeUps&) = delete;

  /// One wake-up there and one back. Throws std::runtime_error when no answer comes within 5 s.
  Nanoseconds once() {
    let_the_other_sleep();
    const std::uint32_t before = to_me_;
    const auto begin = SteadyClock::now();
    wake(to_partner_);
    while (to_me_ == before) {
      sleep_while(to_me_, before);
      if (SteadyClock::now() - begin > std::chrono::seconds(5)) throw std::runtime_error("the partner does not answer");
    }
    return SteadyClock::now() - begin;
  }

 private:
  using Word = std::atomic<std::uint32_t>;

  // The private kind of futex, as the mutexes and conditions of threads use it: it need not look up whose memory this is.
  static void wake(Word& word) {
    ++word;
    ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  static void sleep_while(Word& word, std::uint32_t value) {
    const timespec at_most{.tv_sec = 1, .tv_nsec = 0};
    ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, &at_most, nullptr, 0);
  }

  void play(const std::function<void()>& settle_in) {
    settle_in();
    for (std::uint32_t seen = 0; !stop_;) {
      sleep_while(to_partner_, seen);
      if (to_partner_ == seen) continue;
      seen = to_partner_;
      wake(to_me_);
    }
  }

  Word to_partner_{0}, to_me_{0};
  std::atomic<bool> stop_{false};
  std::thread partner_;
};

/// Times `pair()` while a second thread is alive and asleep: in a process that never had one the C library leaves out
/// the atomic instructions, and every lock looks cheaper than it will be.
template <class Pair>
void beside_a_sleeping_thread(benchmark::State& state, Pair pair) {
  std::mutex mutex;
  std::unique_lock hold(mutex);
  const std::jthread sleeper([&] { const std::lock_guard wait(mutex); });
  for (auto _ : state) pair();
  hold.unlock();
}

/// Times Experiment::once() between this thread and a partner on another core; on one CPU where there is no second core.
template <class Experiment>
void between_two_cores(benchmark::State& state) {
  const int home = machine().cores.front().cpus.front();
  const auto [mine, partners] = place_pair(machine(), Distance::other_core).value_or(std::pair(home, home));
  bind_to(std::array{mine});
  Experiment experiment([cpu = partners] { bind_to(std::array{cpu}); });
  experiment.once();  // the first is dearer: the partner has just been made
  std::chrono::nanoseconds total{0};
  for (auto _ : state) total += experiment.once();
  timed(std::chrono::duration<double>(total).count());
}

}  // namespace lab::gil
