#include "common/multiprocessing/process/resource_tracker.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <stdexcept>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/multiprocessing/process/registry.hpp"
#include "common/multiprocessing/process/spawn.hpp"
#include "common/multiprocessing/process/tracked_names.hpp"
#include "common/os/children.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

int track(std::string_view, std::span<Descriptor> descriptors) {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);  // they were blocked from before exec until now: no window
  TrackedNames names;
  std::array<char, 4096> bytes;
  for (;;) {
    const ssize_t got = ::read(descriptors[0].get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    names.read({bytes.data(), static_cast<std::size_t>(got)});
  }
  return names.remove_all();
}
[[maybe_unused]] const bool known = register_entry(ResourceTracker::kEntry, track);

}  // namespace

ResourceTracker& ResourceTracker::shared() {
  static auto* tracker = new ResourceTracker;  // never destroyed: its end is this process's end
  return *tracker;
}

void ResourceTracker::tell(const char* command, Resource resource, const std::string& name) {
  const auto line = fmt::format("{}:{}:{}\n", command, name, TrackedNames::name_of(resource));
  if (line.size() > kLongestLine)
    throw std::invalid_argument(
        fmt::format("a line to the resource tracker may have {} bytes, not {}", kLongestLine, line.size()));
  if (name.find_first_of({"\n", 2}) != name.npos)
    throw std::invalid_argument("the resource tracker takes no name with a line break or a NUL");
  send(line);
}

// A pipe whose reader has gone raises SIGPIPE, which would end a program that does not ignore it: hold it back and take
// it.
bool ResourceTracker::write(const std::string& line) {
  sigset_t broken, mask;
  ::sigemptyset(&broken);
  ::sigaddset(&broken, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken, &mask);
  ssize_t written = 0;
  do {
    written = ::write(pipe_.get(), line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  const int error = errno;
  constexpr timespec at_once{};
  if (written < 0 && !::sigismember(&mask, SIGPIPE)) ::sigtimedwait(&broken, nullptr, &at_once);
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  errno = error;
  if (written < 0 && error != EPIPE) throw_errno("cannot write to the resource tracker");
  return written >= 0;
}

void ResourceTracker::send(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (!pipe_) start();
  if (write(line)) return;
  say("warning: the resource tracker died; another is started, which does not know the names registered so far\n");
  if (std::exchange(owner_, 0) == ::getpid()) wait_for_child(pid_);
  pipe_.reset();
  start();
  if (!write(line)) throw std::runtime_error("the resource tracker dies as soon as it is started");
}

void ResourceTracker::start() {
  auto [reader, writer] = make_pipe();
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  for (const int signal : {SIGINT, SIGTERM}) ::sigaddset(&mask, signal);
  pid_ = spawn({.entry = kEntry, .name = kEntry, .parent = ::getpid()}, std::array{reader.get()}, Bond::outlives_parent,
               &mask);
  owner_ = ::getpid();
  pipe_ = std::move(writer);
  // Last of all: a finalizer may still tell it that a name has been removed.
  if (this == &shared()) at_process_exit(INT_MIN, [] { shared().stop(); });
}

int ResourceTracker::descriptor() {
  probe();
  return pipe_.get();
}

int ResourceTracker::stop() {
  const std::lock_guard lock(mutex_);
  pipe_.reset();
  if (owner_ != ::getpid()) return -1;
  owner_ = 0;
  const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  int status = 0;
  if (!handle || !wait_for(handle.get(), POLLIN, Clock::now() + std::chrono::seconds(5))) return -1;
  return wait_for_child(pid_, &status) == pid_ && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace lab::start
