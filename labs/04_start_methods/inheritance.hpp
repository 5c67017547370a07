// What a new worker has of its parent: looked up, not looked up in a book.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "common/machine/placement.hpp"
#include "common/multiprocessing/process/process.hpp"
#include "common/os/children.hpp"
#include "common/os/message.hpp"
#include "memory.hpp"

namespace lab::start {

/// Starts a worker that sends one value by the descriptor it is given, and returns that value. Throws std::runtime_error
/// when it ended without, std::system_error when none came within 60 s.
template <class Answer>
Answer answer_of(Method method, const std::string& entry, const std::string& argument) {
  auto [reader, writer] = make_pipe();
  Process worker(method, entry, argument, {writer.get()}, {.daemon = true});  // should it hang, it ends with us
  worker.start();
  writer.reset();
  const auto message = receive_message(reader.get(), kMessageLimit, Clock::now() + std::chrono::seconds(60));
  worker.join();
  if (!message) throw std::runtime_error(worker.name() + " did not answer: " + describe_exit(*worker.exit_code()));
  return decode<Answer>(*message);
}

/// Whether a worker has what its parent changed shortly before starting it.
struct Inherited {
  bool memory = false;       ///< the new value of a global variable
  bool descriptor = false;   ///< an open file that was not listed for it
  bool environment = false;  ///< a new environment variable
  bool held_lock = false;    ///< a mutex that the parent holds is locked in the worker, too
  bool signal_mask = false;  ///< a signal that the parent has blocked since
  bool affinity = false;     ///< the CPUs the parent has been bound to since; false also where there is only one CPU
  auto members() { return std::tie(memory, descriptor, environment, held_lock, signal_mask, affinity); }
};

inline constexpr const char* kVariable = "LAB_INHERITED";
inline std::atomic<int> value = 0;  // a thread looks at it as well
inline std::mutex lock;

inline int look(std::string_view argument, std::span<Descriptor> out) {
  const int unlisted = decode<int>(argument);
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  cpu_set_t cpus;
  const bool one_cpu = ::sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1;
  Inherited seen{.memory = value == 1,
                 .descriptor = ::fcntl(unlisted, F_GETFD) >= 0,
                 .environment = std::getenv(kVariable) != nullptr,
                 .held_lock = !lock.try_lock(),
                 .signal_mask = ::sigismember(&mask, SIGUSR2) == 1,
                 .affinity = one_cpu};
  if (!seen.held_lock) lock.unlock();
  send_message(out[0].get(), encode(seen));
  return 0;
}
[[maybe_unused]] inline const bool looks = register_entry("look", look);

/// Changes all of that, starts a worker, undoes it. A fork server runs before the change.
inline Inherited inherited_by(Method method) {
  answer_of<Inherited>(Method::forkserver, "look", encode(-1));
  rlimit most{};
  ::getrlimit(RLIMIT_NOFILE, &most);
  const auto highest = static_cast<int>(std::min<rlim_t>(most.rlim_cur, 1024)) - 1;  // nothing else has it by chance
  const Descriptor unlisted(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, highest));
  if (!unlisted) throw_errno("cannot open a descriptor with a high number");
  const std::vector<int> cpus = bound_to();
  sigset_t block, mask;
  ::sigemptyset(&block);
  ::sigaddset(&block, SIGUSR2);
  const std::lock_guard hold(lock);
  value = 1;
  ::setenv(kVariable, "1", 1);
  ::pthread_sigmask(SIG_BLOCK, &block, &mask);
  bind_to(std::array{cpus.front()});
  Inherited seen = answer_of<Inherited>(method, "look", encode(unlisted.get()));
  bind_to(cpus);
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  ::unsetenv(kVariable);
  value = 0;
  seen.affinity = seen.affinity && cpus.size() > 1;
  return seen;
}

/// inherited_by() of every method, as text. Where there is only one CPU, it cannot tell of the binding and says so.
inline std::string inheritance_table() {
  std::map<Method, Inherited> seen;
  const bool one_cpu = bound_to().size() == 1;  // then all are bound to it, whoever inherits what
  std::string text = fmt::format("{:<46}", "changed by the parent just before");
  for (const Method method : kMethods) {
    seen[method] = inherited_by(method);
    text += fmt::format("{:>12}", to_string(method));
  }
  const std::pair<const char*, bool Inherited::*> rows[] = {
      {"a global variable", &Inherited::memory},     {"an open descriptor, not listed", &Inherited::descriptor},
      {"the environment", &Inherited::environment},  {"a lock taken: locked there as well", &Inherited::held_lock},
      {"a signal blocked", &Inherited::signal_mask}, {"bound to one CPU", &Inherited::affinity}};
  for (const auto& [name, member] : rows) {
    text += fmt::format("\n{:<46}", name);
    const bool unknown = one_cpu && member == &Inherited::affinity;
    for (const Method method : kMethods)
      text += fmt::format("{:>12}", unknown ? "can't tell" : seen[method].*member ? "inherited" : "no");
  }
  return text + "\n";
}

/// Private memory in MiB of a worker: as it starts; after it has read what it inherited of its parent's table; after it has
/// written to a share of that; after it has loaded a table of that size itself.
struct ChildMemory {
  double at_start = 0, after_reading = 0, after_writing = 0, after_loading = 0;
  auto members() { return std::tie(at_start, after_reading, after_writing, after_loading); }
};

/// What the parent has loaded and a forked child finds in its place; empty in a fresh program.
inline Mapping table;

inline int report_memory(std::string_view argument, std::span<Descriptor> out) {
  const auto [mib, share] = decode<std::tuple<std::uint64_t, int>>(argument);
  ChildMemory memory;
  memory.at_start = private_mib();
  const std::span<std::byte> inherited(table.data(), table.size());
  read_pages(inherited);
  memory.after_reading = private_mib();
  write_pages(inherited.first(table.size() / 100 * static_cast<std::size_t>(share)));
  memory.after_writing = private_mib();
  const Mapping own = touched_memory(mib * kMiB);
  memory.after_loading = private_mib();
  send_message(out[0].get(), encode(memory));
  return 0;
}
[[maybe_unused]] inline const bool reports_memory = register_entry("report_memory", report_memory);

/// Of a worker whose parent holds a table of that size, and which writes to `share` percent of it.
inline ChildMemory child_memory(Method method, std::size_t parent_mib, int share = 100) {
  table = touched_memory(parent_mib * kMiB);
  const auto argument = encode(std::tuple(std::uint64_t{parent_mib}, share));
  const auto memory = answer_of<ChildMemory>(method, "report_memory", argument);
  table = {};
  return memory;
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
