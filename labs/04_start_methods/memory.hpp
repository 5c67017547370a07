// How much memory a process has, and how much of it is its own.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "common/os/mapping.hpp"

namespace lab::start {

inline constexpr std::size_t kMiB = std::size_t{1} << 20;
inline constexpr std::size_t kPage = 4096;

inline void write_pages(std::span<std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kPage) const_cast<volatile std::byte&>(bytes[at]) = std::byte{1};
}
inline void read_pages(std::span<const std::byte> bytes) {
  [[maybe_unused]] volatile std::byte seen{};
  for (std::size_t at = 0; at < bytes.size(); at += kPage) seen = bytes[at];
}

/// 4 KiB pages, each with an entry that fork has to copy; or 2 MiB pages, 512 times fewer.
enum class Pages { small, huge };

/// Private anonymous memory of which every page has been written to; none for 0 bytes. Throws std::system_error.
inline Mapping touched_memory(std::size_t bytes, Pages pages = Pages::small) {
  if (bytes == 0) return {};
  Mapping memory = Mapping::with(bytes, MAP_PRIVATE | MAP_ANONYMOUS);
  ::madvise(memory.data(), bytes, pages == Pages::huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  write_pages({memory.data(), bytes});
  return memory;
}

/// The sum of the lines that begin so, which are in kB, in MiB.
inline double field_mib(const char* file, const std::string& beginning) {
  std::ifstream lines(file);
  double kib = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(beginning)) kib += std::stod(line.substr(line.find(':') + 1));
  }
  return kib / 1024;
}
/// Memory of the calling process that no other shares.
inline double private_mib() { return field_mib("/proc/self/smaps_rollup", "Private_"); }

/// Sizes of parents to measure, in MiB: 0, 64, 256 and, but for --quick, 1024, as far as the largest takes at most a quarter of
/// the memory that is free here: all together take less than three times that. On a machine that is made up, where claims
/// are listed and nothing is measured, there is enough.
inline std::vector<std::int64_t> parent_sizes(bool quick, bool real) {
  double free = field_mib("/proc/meminfo", "MemAvailable");
  double limit = 0, used = 0;  // of a container; "max" when there is none
  std::ifstream ceiling("/sys/fs/cgroup/memory.max"), now("/sys/fs/cgroup/memory.current");
  if (ceiling >> limit && now >> used) free = std::min(free, (limit - used) / kMiB);
  if (!real) free = 4096;
  std::vector<std::int64_t> sizes{0};
  for (const std::int64_t mib : {64, 256, 1024}) {
    if (static_cast<double>(4 * mib) <= free && mib <= (quick ? 256 : 1024)) sizes.push_back(mib);
  }
  return sizes;
}
/// Whether huge pages can be asked for here.
inline bool huge_pages_allowed() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  return std::getline(file, line) && line.find("[never]") == std::string::npos;
}

}  // namespace lab::start
