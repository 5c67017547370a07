#include "common/multiprocessing/process/resource_tracker.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/multiprocessing/process/spawn.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

struct Type {
  Resource resource;
  const char* name;  // as a line has it
  int (*unlink)(const char*);
};
constexpr std::array kTypes{Type{Resource::shared_memory, "shared_memory", ::shm_unlink},
                            Type{Resource::semaphore, "semaphore", ::sem_unlink}};

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
  const auto line = fmt::format("{}:{}:{}\n", command, name, kTypes[static_cast<std::size_t>(resource)].name);
  if (line.size() > kLongestLine)
    throw std::invalid_argument(
        fmt::format("a line to the resource tracker may have {} bytes, not {}", kLongestLine, line.size()));
  if (name.find_first_of({"\n", 2}) != name.npos)
    throw std::invalid_argument("the resource tracker takes no name with a line break or a NUL");
  send(line);
}

void ResourceTracker::send(const std::string& line) {
  const std::lock_guard lock(mutex_.get());
  if (!socket_) start();
  for (bool restarted = false;; restarted = true) {
    ssize_t written = 0;
    do {
      written = ::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL);
    } while (written < 0 && errno == EINTR);
    if (written >= 0) return;
    if (errno != EPIPE && errno != ECONNRESET) throw_errno("cannot write to the resource tracker");
    if (restarted) throw std::runtime_error("the resource tracker dies as soon as it is started");
    say("warning: the resource tracker died; another is started, which does not know the names registered so far\n");
    start();
  }
}

void ResourceTracker::start() {
  socket_.reset();
  process_ = {};
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const HeldSignals held;  // exec keeps the mask: none finds it unprepared
  process_ =
      spawn({.entry = kEntry, .name = kEntry, .parent = ::getpid()}, std::array{theirs.get()}, Bond::outlives_parent);
  socket_ = std::move(ours);
  // Last of all: a finalizer may still tell it that a name has been removed.
  if (this == &shared()) at_process_exit(INT_MIN, [] { shared().stop(); });
}

int ResourceTracker::stop() {
  const std::lock_guard lock(mutex_.get());
  // To the tracker this is end-of-file, even where a bystander that was forked meanwhile has the socket as well.
  if (socket_ && process_.ours()) ::shutdown(socket_.get(), SHUT_RDWR);
  socket_.reset();
  const auto code = process_.wait(Clock::now() + std::chrono::seconds(5));
  process_.let_go();  // it may be at work on a long list yet
  return code.value_or(-1);
}

void TrackedNames::read(std::string_view bytes) {
  for (const char byte : bytes) {
    if (byte != '\n') {
      if (line_.size() <= ResourceTracker::kLongestLine) line_ += byte;
    } else {
      line_.size() < ResourceTracker::kLongestLine ? obey(line_) : complain(line_, "... is too long a line");
      line_.clear();
    }
  }
}

void TrackedNames::obey(std::string_view line) {
  const auto first = line.find(':'), last = line.rfind(':');  // a name may hold colons
  const std::string_view command = line.substr(0, first);
  if (first == line.npos || first == last) return complain(line, "is no command");
  if (command == "PROBE") return;
  const std::string name(line.substr(first + 1, last - first - 1));
  const auto type = std::ranges::find(kTypes, line.substr(last + 1), &Type::name);
  if (type == kTypes.end()) return complain(line, "names no known type");
  if (name.find('\0') != name.npos) return complain(line, "holds a NUL, so it would remove another name");
  auto& names = names_[type->resource];
  if (command == "REGISTER") {
    names.insert(name);
  } else if (command != "UNREGISTER") {
    complain(line, "is no command");
  } else if (names.erase(name) == 0) {
    complain(line, "was not registered");
  }
}

void TrackedNames::tell(const std::string& sentence) const {
  const std::string line = "resource tracker: " + sentence + "\n";
  [[maybe_unused]] const auto ignored = std::fwrite(line.data(), 1, line.size(), listener_);
}

void TrackedNames::complain(std::string_view line, const char* why) {
  tell(fmt::format("'{}' {}", line.substr(0, 80), why));
  end_ = ResourceTracker::protocol_error;
}

ResourceTracker::End TrackedNames::remove_all() {
  for (const Type& type : kTypes) {
    const auto& names = names_[type.resource];
    if (names.empty()) continue;
    end_ = ResourceTracker::leaks;
    tell(fmt::format("{} leaked {} object{} to clean up: {}", names.size(), type.name, names.size() == 1 ? "" : "s",
                     fmt::join(names, ", ")));
    for (const std::string& name : names) {
      if (type.unlink(name.c_str()) == 0) continue;
      tell(fmt::format("cannot remove {}: {}", name, std::strerror(errno)));
      end_ = ResourceTracker::unlink_failed;
    }
  }
  return end_;
}

}  // namespace lab::start
