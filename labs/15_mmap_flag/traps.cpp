#include "traps.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <optional>

#include "common/os/children.hpp"
#include "common/os/team.hpp"

namespace lab::mmap_flag {

bool seen_by_others(MappedByte& flag) {
  flag.clear();
  run_team({.size = 1}, [&](int) {
    flag.raise();
    return 0;
  });
  return flag.raised();
}

std::string after_truncation(bool sealed) {
  constexpr std::size_t kBytes = 4096;
  const Descriptor file =
      sealed ? make_memfd("sealed", kBytes) : Descriptor(::memfd_create("unsealed", MFD_CLOEXEC));
  if (!file) throw_errno("cannot make a memfd");
  if (!sealed && ::ftruncate(file.get(), kBytes) < 0) throw_errno("cannot extend a memfd");
  const Mapping mapping = Mapping::with(kBytes, MAP_SHARED, file.get());
  // Another process that has the file cuts it. Of a sealed one the kernel refuses that, with EPERM.
  [[maybe_unused]] const int refused = ::ftruncate(file.get(), 0);
  const pid_t child = fork_child();
  if (child == 0) {
    const rlimit no_core{0, 0};  // the death is expected: it leaves no core file
    ::setrlimit(RLIMIT_CORE, &no_core);
    std::signal(SIGBUS, SIG_DFL);  // a sanitizer has a handler of its own
    leave([&] {
      if (std::atomic_ref(*reinterpret_cast<std::uint8_t*>(mapping.data())).load() != 0) throw std::logic_error("not zero");
    });
  }
  const std::optional<int> code = ChildProcess(child).wait(Clock::now() + std::chrono::seconds(5));
  return code ? describe_exit(*code) : "nothing within 5 s";
}

std::string what_flags_change() {
  std::string lines = fmt::format("{:<24} {:>20}  {}\n", "mapping", "page faults at first", "seen by other processes");
  for (const Backing& what : backing::all) {
    if (what.flags & MAP_HUGETLB && !has_huge_pages()) {
      lines += fmt::format("{:<24} {:>20}  {}\n", what.name, "-", "this system has reserved no huge pages");
      continue;
    }
    MappedByte flag(what);
    rusage before{}, after{};
    ::getrusage(RUSAGE_SELF, &before);
    flag.clear();
    ::getrusage(RUSAGE_SELF, &after);
    lines += fmt::format("{:<24} {:>20}  {}\n", what.name, after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt,
                         seen_by_others(flag) ? "yes" : "no");
  }
  lines.pop_back();
  return lines;
}

}  // namespace lab::mmap_flag
