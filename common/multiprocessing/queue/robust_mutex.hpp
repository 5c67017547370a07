// A mutex between processes that survives its holder.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "common/os/timeout.hpp"

namespace lab::queue {

/// Lies in shared memory. When a holder is killed the kernel hands the lock to the next one; what the lock guards must
/// be right at every moment, then: let one store at the end make a change valid.
class RobustMutex {
 public:
  RobustMutex() {
    pthread_mutexattr_t about;
    pthread_mutexattr_init(&about);
    pthread_mutexattr_setpshared(&about, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&about, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex_, &about);
    pthread_mutexattr_destroy(&about);
  }
  RobustMutex(const RobustMutex&) = delete;
  RobustMutex& operator=(const RobustMutex&) = delete;

  /// False once that much time has passed. Throws std::system_error.
  bool lock_for(Timeout timeout) {
    int error = pthread_mutex_trylock(&mutex_);
    if (error == EBUSY) {
      const Deadline deadline = timeout.deadline();
#ifdef __SANITIZE_THREAD__  // it does not know clocklock, and would miss that the lock is taken
      while (error == EBUSY && Clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
        error = pthread_mutex_trylock(&mutex_);
      }
      if (error == EBUSY) error = ETIMEDOUT;
#else
      const auto end = std::chrono::nanoseconds(deadline.time_since_epoch()).count();
      const timespec until{end / 1'000'000'000, end % 1'000'000'000};
      error = pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &until);
#endif
    }
    if (error == ETIMEDOUT) return false;
    if (error == EOWNERDEAD) error = pthread_mutex_consistent(&mutex_);  // ours now, and sound again
    if (error != 0) throw std::system_error(error, std::generic_category(), "cannot take a queue's lock");
    return true;
  }
  void unlock() { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_;
};

/// Gives a lock that was taken back.
struct Unlock {
  RobustMutex& mutex;
  ~Unlock() { mutex.unlock(); }
};

}  // namespace lab::queue
