#include "common/multiprocessing/process/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <system_error>
#include <thread>

#include "common/multiprocessing/process/forkserver.hpp"
#include "common/multiprocessing/process/spawn.hpp"
#include "common/os/children.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

std::vector<Descriptor> copies_of(const std::vector<int>& descriptors) {
  std::vector<Descriptor> copies;
  for (const int fd : descriptors) {
    copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!copies.back()) throw_errno(fmt::format("cannot give a worker descriptor {}", fd));
  }
  return copies;
}

// Its sentinel is a pidfd. CPython's is a pipe whose write end only the child should have; but what the child forks has
// it too, and so has what another thread forks before the parent has closed its own copy. As long as one of these lives
// the pipe does not say that the child has ended.
class OwnChild : public Child {
 public:
  using Child::Child;
  // Made when somebody asks: most parents just join.
  int sentinel() override {
    const std::lock_guard lock(mutex_);              // once the child is reaped, its pid may be somebody else's
    if (!handle_ && reaped_) handle_ = open_null();  // readable, as it should be
    if (!handle_) handle_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid(), 0)));
    if (!handle_) throw_errno("cannot watch a worker");
    return handle_.get();
  }
  void wait(Deadline deadline) override {
    if (deadline != Deadline::max()) return Child::wait(deadline);
    siginfo_t ignored;
    while (::waitid(P_PID, static_cast<id_t>(pid()), &ignored, WEXITED | WNOWAIT) < 0 && errno == EINTR) continue;
  }
  std::optional<int> take_exit_code() override {
    const std::lock_guard lock(mutex_);
    int status = 0;
    const pid_t ended = wait_for_child(pid(), &status, WNOHANG);
    if (ended == 0) return std::nullopt;
    reaped_ = true;
    constexpr int kStatusLost = 255;  // somebody else has reaped it
    return ended > 0 ? exit_code_of(status) : kStatusLost;
  }
  void send_signal(int signal) override { ::syscall(SYS_pidfd_send_signal, sentinel(), signal, nullptr, 0); }

 private:
  std::mutex mutex_;
  Descriptor handle_;
  bool reaped_ = false;
};

class ServersChild : public Child {
 public:
  explicit ServersChild(Forked forked) : Child(forked.pid), forked_(std::move(forked)) {}
  int sentinel() override { return forked_.sentinel.get(); }
  std::optional<int> take_exit_code() override { return forked_.exit_code(Clock::now()); }
  void send_signal(int signal) override { ::kill(pid(), signal); }

 private:
  Forked forked_;
};

// Runs in this process: same memory, same descriptors, same everything. What it throws is its status as it is a
// process's.
class ThreadChild : public Child {
 public:
  ThreadChild(Order order, const std::vector<int>& descriptors) : Child(::getpid()), end_(std::make_shared<End>()) {
    if (!end_->event) throw_errno("cannot make a thread's sentinel");
    auto work = [end = end_, order = std::move(order), given = copies_of(descriptors)]() mutable {
      end->code = run_entry(order, given);
      while (::eventfd_write(end->event.get(), 1) < 0 && errno == EINTR) continue;
    };
    try {
      thread_ = std::thread(std::move(work));
    } catch (const std::system_error& error) {
      throw std::system_error(error.code(), "cannot start a thread");
    }
  }
  ~ThreadChild() override {
    if (thread_.joinable()) thread_.detach();  // a daemon's, at the end of the process
  }
  int sentinel() override { return end_->event.get(); }
  std::optional<int> take_exit_code() override {
    if (!wait_for(sentinel(), POLLIN, Clock::now())) return std::nullopt;
    thread_.join();
    return end_->code;
  }
  void send_signal(int) override { throw std::logic_error("a thread cannot be terminated; ask it to end"); }

 private:
  struct End {
    Descriptor event{::eventfd(0, EFD_CLOEXEC)};
    int code = 0;
  };
  std::shared_ptr<End> end_;
  std::thread thread_;
};

[[gnu::hot]] std::unique_ptr<Child> start_by_fork(Order order, const std::vector<int>& descriptors) {
  find_entry(order.entry);
  if (const int threads = threads_alive(); threads > 1) {
    say("warning: {} is forked from a process with {} threads: a lock that one of them holds now stays locked in it\n",
        order.name, threads);
  }
  static const Descriptor null = open_null();
  const HeldSignals held;
  const pid_t pid = fork_child();
  if (pid == 0) {
    leave([&] {
      std::vector<Descriptor> copies = copies_of(descriptors);  // of the old stdin too, if it is listed
      make_stdin(null);
      work_off(order, copies, &held.before);
    });
  }
  return std::make_unique<OwnChild>(pid);
}

struct ForkServer {
  std::mutex mutex;
  std::unique_ptr<Nursery> nursery;  // in a forked child its parent's, which serves both
};
ForkServer& fork_server() {
  static auto* server = new ForkServer;  // never destroyed: it is used after the destructors of statics have begun
  return *server;
}

std::unique_ptr<Nursery> exec_server() {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const pid_t pid = spawn({.entry = "fork_server", .name = "ForkServer", .parent = ::getpid()},
                          std::array{theirs.get()}, Bond::outlives_parent);
  return std::make_unique<Nursery>(pid, std::move(ours));
}
int serve(std::string_view, std::span<Descriptor> descriptors) {
  serve_forks(std::move(descriptors[0]));
  return 0;
}
[[maybe_unused]] const bool known = register_entry("fork_server", serve);

std::unique_ptr<Child> start_by_server(const Order& order, const std::vector<int>& descriptors) {
  ForkServer& server = fork_server();
  const std::lock_guard lock(server.mutex);
  if (!server.nursery) server.nursery = exec_server();
  try {
    return std::make_unique<ServersChild>(server.nursery->start(order, descriptors));
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe && error.code() != std::errc::connection_reset) throw;
    server.nursery = exec_server();  // somebody killed it: the next one forks as well
    return std::make_unique<ServersChild>(server.nursery->start(order, descriptors));
  }
}

}  // namespace

std::string to_string(Method method) {
  constexpr const char* names[] = {"fork", "spawn", "forkserver", "thread"};
  return names[static_cast<int>(method)];
}

std::unique_ptr<Child> start_child(Method method, Order order, const std::vector<int>& descriptors) {
  switch (method) {
    case Method::fork:
      return start_by_fork(std::move(order), descriptors);
    case Method::spawn:
      return std::make_unique<OwnChild>(spawn(order, descriptors));
    case Method::forkserver:
      return start_by_server(order, descriptors);
    case Method::thread:
      break;
  }
  find_entry(order.entry);
  return std::make_unique<ThreadChild>(std::move(order), descriptors);
}

pid_t fork_server_pid() {
  const ForkServer& server = fork_server();
  return server.nursery ? server.nursery->server() : 0;
}

void stop_fork_server() {
  const std::lock_guard lock(fork_server().mutex);
  fork_server().nursery.reset();
}

}  // namespace lab::start
