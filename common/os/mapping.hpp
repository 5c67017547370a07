// Memory that several processes see: anonymous (inherited over fork) or a memfd (passed as a descriptor). Neither has a
// name, so neither can be left behind, whatever kills its users.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "common/os/descriptor.hpp"

namespace lab {

class Mapping {
 public:
  Mapping() = default;
  /// `bytes` of zeroed memory shared with every child forked later. Throws std::system_error.
  static Mapping anonymous(std::size_t bytes);
  /// Maps all of an open file or memfd, shared. Throws std::system_error; std::invalid_argument for an empty file.
  static Mapping of(const Descriptor& file);
  /// What mmap makes of these flags, readable and writable; without MAP_ANONYMOUS, of the file `fd` from its start on.
  /// Throws std::system_error.
  static Mapping with(std::size_t bytes, int flags, int fd = -1);

  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::size_t size() const { return size_; }

 private:
  Mapping(void* data, std::size_t size) : data_(data), size_(size) {}
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A nameless file in memory of that size. Its pages are reserved now (fallocate), so that a full memory is an error
/// here and not SIGBUS at the first touch; it is sealed against being resized, so that no peer can cut it under its
/// users. `label` shows in /proc/<pid>/maps. Throws std::system_error.
Descriptor make_memfd(const std::string& label, std::size_t bytes);

/// One object in anonymous shared memory: made before fork, used by parent and children. Its destructor is not run: the
/// last user's exit frees the pages.
template <class T>
class Shared {
 public:
  template <class... Args>
  explicit Shared(Args&&... args)
      : mapping_(Mapping::anonymous(sizeof(T))), object_(new (mapping_.data()) T(std::forward<Args>(args)...)) {}
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }

 private:
  Mapping mapping_;
  T* object_;
};

/// The same for `count` value-initialised objects, which are zero in fresh pages.
template <class T>
class SharedArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit SharedArray(std::size_t count) : mapping_(Mapping::anonymous(count * sizeof(T))), count_(count) {
    std::uninitialized_value_construct_n(begin(), count);
  }
  T* begin() const { return reinterpret_cast<T*>(mapping_.data()); }
  T* end() const { return begin() + count_; }
  T& operator[](std::size_t i) const { return begin()[i]; }
  std::size_t size() const { return count_; }

 private:
  Mapping mapping_;
  std::size_t count_;
};

}  // namespace lab
