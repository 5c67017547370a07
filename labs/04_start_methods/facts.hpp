// What is not a matter of time: seen once, by doing it.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <thread>

#include "common/harness/claims.hpp"
#include "common/multiprocessing/process/process.hpp"
#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/os/codec.hpp"
#include "inheritance.hpp"

namespace lab::start {

using namespace std::chrono_literals;

inline constexpr Method kProcesses[] = {Method::fork, Method::spawn, Method::forkserver};

inline int run(Method method, const std::string& entry, const std::string& argument = "") {
  Process process(method, entry, argument);
  process.start();
  process.join(20s);
  if (process.alive()) process.kill();
  process.join();
  return *process.exit_code();
}

inline int crash(std::string_view, std::span<Descriptor>) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(SIGSEGV, SIG_DFL);  // a sanitizer has its own handler
  return ::raise(SIGSEGV);
}
inline int crash_in_a_thread(std::string_view, std::span<Descriptor>) {
  std::thread([] { crash({}, {}); }).join();
  return 0;
}

inline std::mutex held_by_a_thread;
inline int take_the_lock(std::string_view, std::span<Descriptor>) {
  for (const Deadline deadline = Clock::now() + 100ms; !held_by_a_thread.try_lock();) {
    if (Clock::now() > deadline) return 1;
    std::this_thread::sleep_for(1ms);
  }
  held_by_a_thread.unlock();
  return 0;
}

// Makes a segment and a semaphore, says so and waits to be killed. "tracked": with a resource tracker of its own.
inline int make_names(std::string_view argument, std::span<Descriptor> out) {
  const auto [name, tracked] = decode<std::tuple<std::string, bool>>(argument);
  ResourceTracker tracker;
  const Descriptor segment(::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600));
  if (!segment || ::sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 1) == SEM_FAILED) throw_errno("cannot make " + name);
  if (tracked) {
    tracker.add(Resource::shared_memory, name);
    tracker.add(Resource::semaphore, name);
  }
  out[0].reset();
  return ::pause();
}
[[maybe_unused]] inline const bool acts =
    register_entry("crash", crash) && register_entry("crash_in_a_thread", crash_in_a_thread) &&
    register_entry("take_the_lock", take_the_lock) && register_entry("make_names", make_names);

inline bool there(const std::string& name) {
  return std::filesystem::exists("/dev/shm" + name) && std::filesystem::exists("/dev/shm/sem." + name.substr(1));
}

// Whether the names of a maker that is SIGKILLed stay.
inline bool names_stay(bool tracked) {
  const std::string name = fmt::format("/lab-04-{}-{}", ::getpid(), tracked ? "tracked" : "untracked");
  // What stays must not stay for good when this program is killed now: a tracker of ours knows the names as well.
  ResourceTracker net;
  net.add(Resource::shared_memory, name);
  net.add(Resource::semaphore, name);
  auto [reader, writer] = make_pipe();
  Process maker(Method::spawn, "make_names", encode(std::tuple(name, tracked)), {writer.get()}, {.daemon = true});
  maker.start();
  writer.reset();
  wait_for(reader.get(), POLLIN, Clock::now() + 20s);  // end-of-file: they are made, or it has failed
  const bool made = there(name);
  maker.kill();
  maker.join();
  const Deadline deadline = Clock::now() + (tracked ? 5s : 100ms);
  while (there(name) && Clock::now() < deadline) std::this_thread::sleep_for(1ms);
  const bool stayed = there(name);
  ::shm_unlink(name.c_str());
  ::sem_unlink(name.c_str());
  net.forget(Resource::shared_memory, name);
  net.forget(Resource::semaphore, name);
  if (!made) throw std::runtime_error("a worker could not make " + name + " in /dev/shm (df -h /dev/shm: is it full?)");
  return stayed;
}

/// A worker's crash ends the worker alone, by each start method that makes a process; a thread's ends its whole process.
inline Seen crash_is_contained() {
  std::vector<std::string> said;
  bool contained = true;
  for (const Method method : kProcesses) {
    const int code = run(method, "crash");
    contained = contained && code == -SIGSEGV;
    said.push_back(fmt::format("{} {}", to_string(method), code));
  }
  const int whole = run(Method::fork, "crash_in_a_thread");
  return {.holds = contained && whole == -SIGSEGV,
          .what = fmt::format(
              "exit codes of crashed workers: {}; this process went on. A crashed thread took its process along: {}",
              fmt::join(said, ", "), whole)};
}

/// What a killed process has named in shared memory stays, unless a resource tracker knows of it.
inline Seen names_outlive_their_makers() {
  const bool untracked = names_stay(false), tracked = names_stay(true);
  return {.holds = untracked && !tracked,
          .what = fmt::format("of a killed process, a segment and a semaphore {}; with a tracker they {}",
                              untracked ? "stayed" : "were gone", tracked ? "stayed" : "were gone")};
}

/// A lock that another thread holds is locked for ever in a forked worker, and free in one that starts afresh.
inline Seen forked_locks_stay_locked() {
  std::atomic<bool> held = false;
  const std::jthread other([&](const std::stop_token& stop) {
    const std::lock_guard hold(held_by_a_thread);
    for (held = true; !stop.stop_requested();) std::this_thread::sleep_for(1ms);
  });
  while (!held) std::this_thread::sleep_for(1ms);
  std::vector<std::string> said;
  bool as_expected = true;
  for (const Method method : kProcesses) {
    const bool locked = run(method, "take_the_lock") != 0;
    as_expected = as_expected && locked == (method == Method::fork);
    said.push_back(fmt::format("{}: {}", to_string(method), locked ? "not within 100 ms" : "yes"));
  }
  return {.holds = as_expected, .what = fmt::format("could the worker take the lock? {}", fmt::join(said, ", "))};
}

/// A forked worker's private memory grows by the pages it writes to.
inline Seen copies_what_it_touches() {
  constexpr std::size_t mib = 64;
  std::vector<std::string> said;
  bool as_touched = true;
  double by_reading = 0;
  for (const int share : {25, 50, 100}) {
    const ChildMemory memory = child_memory(Method::fork, mib, share);
    const double touched = static_cast<double>(mib) * share / 100, grown = memory.after_writing - memory.after_reading;
    by_reading = std::max(by_reading, memory.after_reading - memory.at_start);
    as_touched = as_touched && std::abs(grown / touched - 1) <= 0.1 && by_reading <= 0.1 * mib;
    said.push_back(fmt::format("{:.1f} of {:.0f}", grown, touched));
  }
  return {.holds = as_touched,
          .what = fmt::format("MiB that became private of MiB written to: {}; by reading all {}: {:.1f}",
                              fmt::join(said, ", "), mib, by_reading)};
}

}  // namespace lab::start
