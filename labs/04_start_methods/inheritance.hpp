// What a new worker has of its parent: looked up, not looked up in a book.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "common/machine/placement.hpp"
#include "common/multiprocessing/process/process.hpp"
#include "common/os/message.hpp"

namespace lab::start {

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
inline int value = 0;
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
inline int wake_up(std::string_view, std::span<Descriptor>) { return 0; }
[[maybe_unused]] inline const bool looks = register_entry("look", look) && register_entry("wake_the_server", wake_up);

/// A copy with the highest number there may be, which nothing else has by chance. Throws std::system_error.
inline Descriptor highest_copy(int fd) {
  rlimit most{};
  ::getrlimit(RLIMIT_NOFILE, &most);
  Descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, static_cast<int>(std::min<rlim_t>(most.rlim_cur, 1024)) - 1));
  if (!copy) throw_errno("cannot open a descriptor with a high number");
  return copy;
}

/// Changes all of that, starts a worker, undoes it. A fork server runs before the change.
inline Inherited inherited_by(Method method) {
  Process first(Method::forkserver, "wake_the_server");
  first.start();
  first.join();

  auto [reader, writer] = make_pipe();
  const Descriptor unlisted = highest_copy(reader.get());
  const std::vector<int> cpus = bound_to();
  sigset_t block, mask;
  ::sigemptyset(&block);
  ::sigaddset(&block, SIGUSR2);
  Process worker(method, "look", encode(unlisted.get()), {writer.get()});
  {
    const std::lock_guard hold(lock);
    value = 1;
    ::setenv(kVariable, "1", 1);
    ::pthread_sigmask(SIG_BLOCK, &block, &mask);
    bind_to(std::array{cpus.front()});
    worker.start();
    writer.reset();
    wait_for(reader.get(), POLLIN, Clock::now() + std::chrono::seconds(20));  // it has looked
    bind_to(cpus);
    ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    ::unsetenv(kVariable);
    value = 0;
  }
  worker.join(std::chrono::seconds(20));
  if (worker.exit_code() != 0) throw std::runtime_error(worker.name() + " could not look at what it inherited");
  Inherited seen = decode<Inherited>(receive_message(reader.get()).value());
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

}  // namespace lab::start
