#include "resource_tracker.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>

#include "registry.hpp"
#include "spawn.hpp"

namespace lab::start {
namespace {

struct Type {
  const char* name;
  int (*unlink)(const char*);
};
constexpr std::array kTypes{Type{"shared_memory", ::shm_unlink}, Type{"semaphore", ::sem_unlink}};

// The list, and the lines that change it. A line that makes no sense is said and remembered, never followed.
class List {
 public:
  void obey(std::string_view line) {
    const auto first = line.find(':'), last = line.rfind(':');  // a name may hold colons
    const std::string_view command = line.substr(0, first);
    if (first == line.npos || first == last) return complain(line, "is no command");
    if (command == "PROBE") return;
    const std::string name(line.substr(first + 1, last - first - 1));
    const auto names = names_.find(line.substr(last + 1));
    if (names == names_.end()) return complain(line, "names no known type");
    if (command == "REGISTER") {
      names->second.insert(name);
    } else if (command == "UNREGISTER") {
      if (names->second.erase(name) == 0) complain(line, "was not registered");
    } else {
      complain(line, "is no command");
    }
  }
  void complain(std::string_view line, const char* why) {
    fmt::print(stderr, "resource tracker: '{}' {}\n", line.substr(0, 80), why);
    end_ = ResourceTracker::protocol_error;
  }
  int remove_all() {
    for (const Type& type : kTypes) {
      const auto& names = names_.at(type.name);
      if (names.empty()) continue;
      end_ = ResourceTracker::leaks;
      fmt::print(stderr, "resource tracker: {} leaked {} object{} to clean up: {}\n", names.size(), type.name,
                 names.size() == 1 ? "" : "s", fmt::join(names, ", "));
      for (const std::string& name : names) {
        if (type.unlink(name.c_str()) == 0) continue;
        fmt::print(stderr, "resource tracker: cannot remove {}: {}\n", name, std::strerror(errno));
        end_ = ResourceTracker::unlink_failed;
      }
    }
    return end_;
  }

 private:
  std::map<std::string, std::set<std::string>, std::less<>> names_{{kTypes[0].name, {}}, {kTypes[1].name, {}}};
  int end_ = ResourceTracker::clean;
};

int track(std::string_view, std::span<Descriptor> descriptors) {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);  // they were blocked from before exec until now: no window
  List list;
  std::string line;
  std::array<char, 4096> bytes;
  for (;;) {
    const ssize_t got = ::read(descriptors[0].get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    for (const char byte : std::string_view(bytes.data(), static_cast<std::size_t>(got))) {
      if (byte != '\n') {
        if (line.size() <= ResourceTracker::kLongestLine) line += byte;  // the rest of a longer one is not kept
      } else {
        line.size() < ResourceTracker::kLongestLine ? list.obey(line) : list.complain(line, "... is too long a line");
        line.clear();
      }
    }
  }
  return list.remove_all();
}
[[maybe_unused]] const bool known = register_entry(ResourceTracker::kEntry, track);

}  // namespace

ResourceTracker& ResourceTracker::shared() {
  static auto* tracker = new ResourceTracker;  // never destroyed: its end is this process's end
  return *tracker;
}

void ResourceTracker::tell(const char* command, Resource resource, const std::string& name) {
  const auto line = fmt::format("{}:{}:{}\n", command, name, kTypes[static_cast<std::size_t>(resource)].name);
  if (line.size() > kLongestLine)
    throw std::invalid_argument(
        fmt::format("a line to the resource tracker may have {} bytes, not {}", kLongestLine, line.size()));
  if (name.find('\n') != name.npos) throw std::invalid_argument("the resource tracker takes no name with a line break");
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
  fmt::print(
      stderr,
      "warning: the resource tracker died; another is started, which does not know the names registered so far\n");
  if (std::exchange(owner_, 0) == ::getpid()) reap(pid_);
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
  return reap(pid_, &status) && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace lab::start
