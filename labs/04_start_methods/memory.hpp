// How much memory a process has, and how much of it is its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/multiprocessing/process/child.hpp"

namespace lab::start {

/// 4 KiB pages, each with an entry that fork has to copy; or 2 MiB pages, 512 times fewer.
enum class Pages { small, huge };

/// Private anonymous memory of which every page has been written to.
class TouchedMemory {
 public:
  /// Throws std::system_error.
  explicit TouchedMemory(std::size_t bytes, Pages pages = Pages::small);
  TouchedMemory(const TouchedMemory&) = delete;
  TouchedMemory& operator=(const TouchedMemory&) = delete;
  ~TouchedMemory();
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_;
};

/// Memory of the calling process that no other shares, in MiB: the private lines of /proc/self/smaps_rollup.
double private_mib();

/// Sizes of parents to measure, in MiB: 0, 64, 256, 1024, as far as the largest takes at most a quarter of the memory
/// that is free here (all together take less than three times that), and none beyond what limit_parents said.
std::vector<std::int64_t> parent_sizes();
void limit_parents(std::int64_t most_mib);
/// Whether huge pages can be asked for here.
bool huge_pages_allowed();

/// Private memory in MiB of a worker whose parent holds `parent_mib`: as it starts; after it has read what it
/// inherited; after it has written to `share` percent of it; after it has loaded a table of that size itself.
struct ChildMemory {
  double at_start = 0, after_reading = 0, after_writing = 0, after_loading = 0;
  auto members() { return std::tie(at_start, after_reading, after_writing, after_loading); }
};
ChildMemory child_memory(Method method, std::size_t parent_mib, int share = 100);

/// child_memory() of every method, as text.
std::string child_memory_table();

}  // namespace lab::start
