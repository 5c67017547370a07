// multiprocessing.RawValue and RawArray, and Value and Array, which are the same with a lock: cells in memory that every
// process forked later shares. After CPython's sharedctypes.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <stdexcept>
#include <system_error>

#include "common/os/mapping.hpp"

namespace lab::sharedctypes {

/// Zeroed cells without a lock. A cell is read by one load and written by one store of the CPU; `relaxed` asks for no more.
/// A plain T would be a data race: the compiler may then read it once, before the loop that polls it.
template <class T>
class RawArray {
 public:
  explicit RawArray(std::size_t count) : cells_(count) {}
  std::size_t size() const { return cells_.size(); }
  T get(std::size_t i) const { return cell(i).load(std::memory_order_relaxed); }
  void set(std::size_t i, T value) { cell(i).store(value, std::memory_order_relaxed); }

 private:
  std::atomic<T>& cell(std::size_t i) const {
    if (i >= cells_.size()) throw std::out_of_range("invalid index");  // CPython's words
    return cells_[i];
  }
  SharedArray<std::atomic<T>> cells_;
};

/// One such cell.
template <class T>
class RawValue {
 public:
  explicit RawValue(T value = {}) { set(value); }
  T get() const { return cell_->load(std::memory_order_relaxed); }
  void set(T value) { cell_->store(value, std::memory_order_relaxed); }
  /// TRAP: a load, an addition and a store. What another process stores in between is overwritten.
  void add(T more) { set(get() + more); }

 protected:
  Shared<std::atomic<T>> cell_;
};

/// One cell whose addition is a single instruction that no other CPU can come between. Python has none.
template <class T>
class AtomicValue : public RawValue<T> {
 public:
  using RawValue<T>::RawValue;
  void add(T more) { this->cell_->fetch_add(more, std::memory_order_relaxed); }
};

/// A lock's holder was killed. Whatever it had begun may be half done; the lock itself is free again.
struct HolderDied : std::runtime_error {
  HolderDied() : std::runtime_error("a process was killed while it held this value's lock") {}
};

/// multiprocessing.RLock: its holder may take it again. CPython's is a semaphore, and lost for ever when its holder is
/// killed (TRAP); this one is robust: the kernel hands it on, and the next to take it is told.
class RLock {
 public:
  RLock() {
    pthread_mutexattr_t kind;
    ::pthread_mutexattr_init(&kind);
    ::pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    ::pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    const int error = ::pthread_mutex_init(&*mutex_, &kind);
    ::pthread_mutexattr_destroy(&kind);
    if (error) throw std::system_error(error, std::generic_category(), "cannot make a lock");
  }
  void lock() {
    const int error = ::pthread_mutex_lock(&*mutex_);
    if (error == EOWNERDEAD) {
      ::pthread_mutex_consistent(&*mutex_);
      ::pthread_mutex_unlock(&*mutex_);
      throw HolderDied();
    }
    if (error) throw std::system_error(error, std::generic_category(), "cannot take a lock");
  }
  void unlock() { ::pthread_mutex_unlock(&*mutex_); }

 private:
  Shared<pthread_mutex_t> mutex_;
};

/// A RawValue or RawArray and a lock that is taken for each read and for each write.
template <class Raw>
class Synchronized {
 public:
  template <class... Args>
  explicit Synchronized(Args... args) : raw_(args...) {}
  template <class... Index>
  auto get(Index... i) const {
    const std::lock_guard holding(lock_);
    return raw_.get(i...);
  }
  template <class... IndexAndValue>
  void set(IndexAndValue... x) {
    const std::lock_guard holding(lock_);
    raw_.set(x...);
  }
  /// TRAP: `value += more` in Python is a read and a write, with the lock taken twice and free in between.
  template <class T>
  void add(T more) {
    set(get() + more);
  }
  /// For whoever needs more than one read or write in one piece: `std::lock_guard holding(v.get_lock())`.
  RLock& get_lock() const { return lock_; }

 private:
  Raw raw_;
  mutable RLock lock_;
};
template <class T>
using Value = Synchronized<RawValue<T>>;
template <class T>
using Array = Synchronized<RawArray<T>>;

/// A flag in such a value: one byte, 0 or 1. It only ever goes from 0 to 1 during a search, so that no lock is needed.
template <class V>
struct Flag {
  V value{std::uint8_t{0}};
  bool raised() const { return value.get() != 0; }
  void raise() { value.set(std::uint8_t{1}); }
  void clear() { value.set(std::uint8_t{0}); }
};
/// A flag in the first of such an array's elements.
template <class A>
struct FirstElement {
  A array{std::size_t{1}};
  bool raised() const { return array.get(std::size_t{0}) != 0; }
  void raise() { array.set(std::size_t{0}, std::uint8_t{1}); }
  void clear() { array.set(std::size_t{0}, std::uint8_t{0}); }
};

}  // namespace lab::sharedctypes
