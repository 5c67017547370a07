#include "memory.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "common/multiprocessing/process/process.hpp"
#include "common/os/message.hpp"

namespace lab::start {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kPage = 4096;

void write_pages(std::span<std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kPage) const_cast<volatile std::byte&>(bytes[at]) = std::byte{1};
}
void read_pages(std::span<const std::byte> bytes) {
  [[maybe_unused]] volatile std::byte seen{};
  for (std::size_t at = 0; at < bytes.size(); at += kPage) seen = bytes[at];
}

double field_mib(std::istream& lines, const std::string& beginning) {
  double kib = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(beginning)) kib += std::stod(line.substr(line.find(':') + 1));
  }
  return kib / 1024;
}

std::int64_t most = 1024;

// What the parent has loaded and a forked child finds in its place; empty in a fresh program.
std::span<std::byte> table;

int report_memory(std::string_view argument, std::span<Descriptor> out) {
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
[[maybe_unused]] const bool known = register_entry("report_memory", report_memory);

}  // namespace

TouchedMemory::TouchedMemory(std::size_t bytes, Pages pages) : size_(bytes) {
  if (bytes == 0) return;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw_errno(fmt::format("cannot take {} MiB of memory", bytes / kMiB));
  data_ = static_cast<std::byte*>(data);
  ::madvise(data, bytes, pages == Pages::huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  write_pages(this->bytes());
}
TouchedMemory::~TouchedMemory() {
  if (data_) ::munmap(data_, size_);
}

double private_mib() {
  std::ifstream lines("/proc/self/smaps_rollup");
  return field_mib(lines, "Private_");
}

void limit_parents(std::int64_t most_mib) { most = most_mib; }

std::vector<std::int64_t> parent_sizes() {
  std::ifstream meminfo("/proc/meminfo");
  double free = field_mib(meminfo, "MemAvailable");
  double limit = 0, used = 0;  // of a container; "max" when there is none
  std::ifstream ceiling("/sys/fs/cgroup/memory.max"), now("/sys/fs/cgroup/memory.current");
  if (ceiling >> limit && now >> used) free = std::min(free, (limit - used) / kMiB);
  std::vector<std::int64_t> sizes{0};
  for (const std::int64_t mib : {64, 256, 1024}) {
    if (static_cast<double>(4 * mib) <= free && mib <= most) sizes.push_back(mib);
  }
  return sizes;
}

bool huge_pages_allowed() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  return std::getline(file, line) && line.find("[never]") == std::string::npos;
}

ChildMemory child_memory(Method method, std::size_t parent_mib, int share) {
  const TouchedMemory loaded(parent_mib * kMiB);
  table = loaded.bytes();
  auto [reader, writer] = make_pipe();
  Process child(method, "report_memory", encode(std::tuple(std::uint64_t{parent_mib}, share)), {writer.get()});
  child.start();
  writer.reset();
  std::optional<std::string> message;
  if (wait_for(reader.get(), POLLIN, Clock::now() + std::chrono::seconds(20))) message = receive_message(reader.get());
  if (!message) child.kill();
  child.join();
  table = {};
  if (!message)
    throw std::runtime_error("a worker that measures its memory ended with " + describe_exit(*child.exit_code()));
  return decode<ChildMemory>(*message);
}

std::string child_memory_table() {
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
