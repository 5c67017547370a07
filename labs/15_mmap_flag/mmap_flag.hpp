// A flag in a mapping: one byte of memory that processes share because the kernel shows them the same page. After Python's
// mmap.mmap(fileno, length, flags), used as memory, as a file, and beside it the file itself.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "common/os/descriptor.hpp"
#include "common/os/mapping.hpp"

namespace lab::mmap_flag {

/// A file of `bytes` zeros that no name leads to, in that folder: gone with its last user. Throws std::system_error.
Descriptor nameless_file(const std::string& folder, std::size_t bytes);

/// What stands behind a flag's page, in mmap's words.
struct Backing {
  const char* name;
  int flags;                     ///< MAP_SHARED or MAP_PRIVATE, and what is added to it
  const char* folder = nullptr;  ///< of the file; "memory" for one in shared memory; none: anonymous, no file
};
namespace backing {
inline constexpr Backing anonymous{"anonymous", MAP_SHARED | MAP_ANONYMOUS};
inline constexpr Backing on_disk{"file on disk", MAP_SHARED, "/var/tmp"};
inline constexpr Backing in_memory{"file in memory", MAP_SHARED, "memory"};
inline constexpr Backing populated{"anonymous, populated", MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE};
inline constexpr Backing huge{"anonymous, huge page", MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB};
inline constexpr Backing mistake{"anonymous, private", MAP_PRIVATE | MAP_ANONYMOUS};  // TRAP: a page for each process
inline constexpr Backing all[] = {anonymous, on_disk, in_memory, populated, huge, mistake};
}  // namespace backing

/// Maps it. Throws std::system_error: of a huge page where none is reserved.
Mapping map(const Backing& what);
/// Whether this system has a huge page left.
bool has_huge_pages();

/// The first byte of the mapping, read and written as memory. The poll is one load: relaxed, for the flag only goes from 0
/// to 1, and nothing else is read on its word.
class MappedByte {
 public:
  explicit MappedByte(const Backing& what = backing::anonymous) : mapping_(map(what)) {}
  bool raised() const { return byte().load(std::memory_order_relaxed) != 0; }
  void raise() { byte().store(1, std::memory_order_relaxed); }
  void clear() { byte().store(0, std::memory_order_relaxed); }
  std::byte* data() const { return mapping_.data(); }

 private:
  std::atomic_ref<std::uint8_t> byte() const {
    return std::atomic_ref(*reinterpret_cast<std::uint8_t*>(mapping_.data()));
  }
  Mapping mapping_;
};

/// A mapping used as a file: a position, and read and write that move it, as Python's mmap object has them. The position
/// belongs to the process: after fork each has its own. The bytes are shared.
class MmapFile {
 public:
  explicit MmapFile(Mapping mapping) : mapping_(std::move(mapping)) {}
  std::size_t tell() const { return at_; }
  void seek(std::size_t to) {
    if (to > mapping_.size()) throw std::out_of_range("seek out of range");
    at_ = to;
  }
  /// Up to n bytes from the position on; fewer at the end. A string of its own, as Python's bytes object is.
  std::string read(std::size_t n) {
    n = std::min(n, mapping_.size() - at_);
    std::string bytes(n, '\0');
    for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<char>(cell(at_ + i).load(std::memory_order_relaxed));
    at_ += n;
    return bytes;
  }
  /// Writes all of it; throws std::out_of_range where that would be beyond the end: a mapping does not grow.
  void write(std::string_view bytes) {
    if (bytes.size() > mapping_.size() - at_) throw std::out_of_range("data out of range");
    for (const char c : bytes) cell(at_++).store(static_cast<std::uint8_t>(c), std::memory_order_relaxed);
  }

 private:
  std::atomic_ref<std::uint8_t> cell(std::size_t i) const {
    return std::atomic_ref(reinterpret_cast<std::uint8_t*>(mapping_.data())[i]);
  }
  Mapping mapping_;
  std::size_t at_ = 0;
};

/// The flag read as the book's first version reads it: flag.seek(0); flag.read(1) == b'1'.
class SeekAndRead {
 public:
  bool raised() {
    file_.seek(0);
    return file_.read(1) == "1";
  }
  void raise() { put("1"); }
  void clear() { put("0"); }

 private:
  void put(const char* byte) {
    file_.seek(0);
    file_.write(byte);
  }
  MmapFile file_{map(backing::anonymous)};
};

/// The same byte in a file that nobody has mapped: every look is a system call. pread needs no position, which processes
/// that inherited the descriptor would share.
class PreadFlag {
 public:
  bool raised() const {
    char byte = 0;
    if (::pread(file_.get(), &byte, 1, 0) != 1) throw_errno("cannot read the flag's file");
    return byte == '1';
  }
  void raise() { put('1'); }
  void clear() { put('0'); }

 private:
  void put(char byte) {
    if (::pwrite(file_.get(), &byte, 1, 0) != 1) throw_errno("cannot write the flag's file");
  }
  Descriptor file_ = nameless_file("memory", 1);
};

}  // namespace lab::mmap_flag
