#include "common/multiprocessing/process/worker.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/os/children.hpp"
#include "common/os/message.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

std::map<std::string, Entry>& entries() {
  static auto& map = *new std::map<std::string, Entry>;  // filled before main; a daemon thread reads it beyond its end
  return map;
}

const Order* present = nullptr;  // none in the process that nobody ordered

extern "C" void end_interrupted(int) {
  constexpr char said[] = "interrupted\n";
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, said, sizeof said - 1);
  ::_exit(1);
}

}  // namespace

bool register_entry(const std::string& name, Entry entry) {
  const auto [at, fresh] = entries().try_emplace(name, entry);
  if (!fresh && at->second != entry) throw std::invalid_argument("two entries are named '" + name + "'");
  return true;
}

Entry find_entry(const std::string& name) {
  const auto found = entries().find(name);
  if (found != entries().end()) return found->second;
  std::string known;
  for (const auto& [other, entry] : entries()) known += (known.empty() ? "" : ", ") + other;
  throw UnknownEntry("no entry is registered as '" + name + "'; there are: " + (known.empty() ? "none" : known));
}

Descriptor open_null() {
  const Descriptor opened(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  // Not stdin's number, which may be free.
  Descriptor null(opened ? ::fcntl(opened.get(), F_DUPFD_CLOEXEC, 3) : -1);
  if (!null) throw_errno("cannot open /dev/null");
  return null;
}

void make_stdin(const Descriptor& null) {
  if (::syscall(SYS_dup3, null.get(), STDIN_FILENO, 0) < 0) throw_errno("cannot make /dev/null a worker's stdin");
}

const Order& self() {
  static const Order main_process{.name = "MainProcess"};
  return present ? *present : main_process;
}

HeldSignals::HeldSignals() {
  sigset_t held;
  ::sigemptyset(&held);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&held, signal);
  ::pthread_sigmask(SIG_BLOCK, &held, &before);
}
HeldSignals::~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }

int run_entry(const Order& order, std::span<Descriptor> descriptors, Entry entry) {
  constexpr int kStatusBits = 0xff;  // what is left of a status on its way through the kernel, and so of a thread's
  try {
    if (entry == nullptr) entry = find_entry(order.entry);
    return entry(order.argument, descriptors) & kStatusBits;
  } catch (const Exit& exit) {
    if (!exit.text.empty()) say("{}\n", exit.text);
    return exit.status & kStatusBits;
  } catch (const std::exception& error) {
    say("{} (pid {}): {}\n", order.name, ::getpid(), error.what());
  } catch (...) {
    say("{} (pid {}): threw what is no std::exception\n", order.name, ::getpid());
  }
  return 1;
}

void work_off(const Order& order, std::span<Descriptor> descriptors, const sigset_t* mask, Entry entry) {
  present = &order;  // for good: this function does not return
  std::signal(SIGINT, end_interrupted);
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGHUP, SIG_DFL);
  std::signal(SIGCHLD, SIG_DFL);
  std::signal(SIGPIPE, SIG_IGN);  // as every Python process has it: a reader that has gone is an error, not the end
  if (mask) ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, nullptr, _NSIG / 8);  // by number: see fork_child()
  const int status = run_entry(order, descriptors, entry);
  run_exit_order();
  flush_output();
  ::_exit(status);
}

void send_order(int socket, const Order& order) {
  const std::string body = encode(order);
  if (body.size() > kMessageLimit)
    throw MessageError(fmt::format("an argument may have {} bytes, not {}", kMessageLimit, body.size()));
  send_message(socket, body, Clock::now() + kPatience);
}

Order receive_order(int socket) {
  const auto message = receive_message(socket, kMessageLimit, Clock::now() + kPatience);
  if (!message) throw MessageError("no order came");
  return decode<Order>(*message);
}

void close_all_but(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned next = 3;
  for (const int fd : kept) {
    if (fd < static_cast<int>(next)) continue;
    if (fd > static_cast<int>(next)) ::close_range(next, static_cast<unsigned>(fd) - 1, 0);
    next = static_cast<unsigned>(fd) + 1;
  }
  ::close_range(next, ~0U, 0);
}

int threads_alive() {
  if (__libc_single_threaded) return 1;  // never had another: no need to ask the kernel
  struct stat tasks {};
  return ::stat("/proc/self/task", &tasks) == 0 ? static_cast<int>(tasks.st_nlink) - 2 : 1;  // a folder a thread
}

}  // namespace lab::start
