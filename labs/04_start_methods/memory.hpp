// How much memory a process has, and how much of it is its own.
#pragma once

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "common/multiprocessing/process/process.hpp"
#include "common/os/message.hpp"

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

/// Private anonymous memory of which every page has been written to. Throws std::system_error.
class TouchedMemory {
 public:
  explicit TouchedMemory(std::size_t bytes, Pages pages = Pages::small) : size_(bytes) {
    if (bytes == 0) return;
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw_errno(fmt::format("cannot take {} MiB of memory", bytes / kMiB));
    data_ = static_cast<std::byte*>(data);
    ::madvise(data, bytes, pages == Pages::huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    write_pages(this->bytes());
  }
  TouchedMemory(const TouchedMemory&) = delete;
  TouchedMemory& operator=(const TouchedMemory&) = delete;
  ~TouchedMemory() {
    if (data_) ::munmap(data_, size_);
  }
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_;
};

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

/// Private memory in MiB of a worker: as it starts; after it has read what it inherited of its parent's table; after it has
/// written to a share of that; after it has loaded a table of that size itself.
struct ChildMemory {
  double at_start = 0, after_reading = 0, after_writing = 0, after_loading = 0;
  auto members() { return std::tie(at_start, after_reading, after_writing, after_loading); }
};

/// What the parent has loaded and a forked child finds in its place; empty in a fresh program.
inline std::span<std::byte> table;

inline int report_memory(std::string_view argument, std::span<Descriptor> out) {
  const auto [mib, share] = decode<std::tuple<std::uint64_t, int>>(argument);
  ChildMemory memory;
  memory.at_start = private_mib();
  read_pages(table);
  memory.after_reading = private_mib();
  write_pages(table.first(table.size() / 100 * static_cast<std::size_t>(share)));
  memory.after_writing = private_mib();
  const TouchedMemory own(mib * kMiB);
  memory.after_loading = private_mib();
  send_message(out[0].get(), encode(memory));
  return 0;
}
[[maybe_unused]] inline const bool reports_memory = register_entry("report_memory", report_memory);

/// Of a worker whose parent holds a table of that size, and which writes to `share` percent of it.
inline ChildMemory child_memory(Method method, std::size_t parent_mib, int share = 100) {
  const TouchedMemory loaded(parent_mib * kMiB);
  table = loaded.bytes();
  auto [reader, writer] = make_pipe();
  Process child(method, "report_memory", encode(std::tuple(std::uint64_t{parent_mib}, share)), {writer.get()});
  child.start();
  writer.reset();
  std::optional<std::string> message;
  if (wait_for(reader.get(), POLLIN, Clock::now() + std::chrono::seconds(60))) message = receive_message(reader.get());
  if (!message) child.kill();
  child.join();
  table = {};
  if (!message)
    throw std::runtime_error("a worker that measures its memory ended with " + describe_exit(*child.exit_code()));
  return decode<ChildMemory>(*message);
}

/// child_memory() of every method, as text.
inline std::string child_memory_table() {
  constexpr std::size_t mib = 64;
  std::string text =
      fmt::format("private MiB of a worker; its parent holds a table of {} MiB\n{:<12}{:>10}{:>12}{:>12}{:>16}\n", mib,
                  "", "at start", "table read", "written to", "own one loaded");
  for (const Method method : {Method::fork, Method::spawn, Method::forkserver}) {
    const ChildMemory m = child_memory(method, mib);
    const bool inherited = method == Method::fork;
    text += fmt::format("{:<12}{:>10.1f}{:>12}{:>12}{:>16.1f}\n", to_string(method), m.at_start,
                        inherited ? fmt::format("{:.1f}", m.after_reading) : "has none",
                        inherited ? fmt::format("{:.1f}", m.after_writing) : "has none", m.after_loading);
  }
  return text;
}

}  // namespace lab::start
