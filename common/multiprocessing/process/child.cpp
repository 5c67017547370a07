#include "common/multiprocessing/process/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <system_error>
#include <thread>

#include "common/multiprocessing/process/spawn.hpp"
#include "common/os/per_process.hpp"
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
  explicit OwnChild(ChildProcess process) : Child(process.pid()), process_(std::move(process)) {}
  int sentinel() override { return process_.sentinel(); }
  std::optional<int> take_exit_code() override {
    const auto code = process_.wait(Clock::now());
    return code == ChildProcess::kStatusLost ? 255 : code;
  }
  void send_signal(int signal) override { process_.send_signal(signal); }

 private:
  ChildProcess process_;
};

class ServersChild : public Child {
 public:
  explicit ServersChild(Forked forked) : Child(forked.pid), forked_(std::move(forked)) {}
  int sentinel() override { return forked_.sentinel.get(); }
  std::optional<int> take_exit_code() override { return forked_.exit_code(Clock::now()); }
  void send_signal(int signal) override { lab::send_signal(forked_.pidfd, signal); }

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
  return std::make_unique<OwnChild>(ChildProcess(pid));
}

PerProcess<std::mutex> server_mutex;
Nursery* server = nullptr;  // in a forked child its parent's, which serves both. Of statics' end it knows nothing

Nursery* exec_server() {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  ChildProcess process = spawn({.entry = "fork_server", .name = "ForkServer", .parent = ::getpid()},
                               std::array{theirs.get()}, Bond::outlives_parent);
  return new Nursery(std::move(process), std::move(ours));
}
int serve(std::string_view, std::span<Descriptor> descriptors) {
  serve_forks(std::move(descriptors[0]));
  return 0;
}
[[maybe_unused]] const bool known = register_entry("fork_server", serve);

}  // namespace

std::unique_ptr<Child> start_child(const Nursery& nursery, const Order& order, std::span<const int> descriptors) {
  return std::make_unique<ServersChild>(nursery.start(order, descriptors));
}

namespace {

std::unique_ptr<Child> start_by_server(const Order& order, const std::vector<int>& descriptors) {
  const std::lock_guard lock(server_mutex.get());
  if (server == nullptr) server = exec_server();
  try {
    return start_child(*server, order, descriptors);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe && error.code() != std::errc::connection_reset) throw;
    delete std::exchange(server, nullptr);
    server = exec_server();  // somebody killed it: the next one forks as well
    return start_child(*server, order, descriptors);
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
  const std::lock_guard lock(server_mutex.get());
  return server != nullptr ? server->server() : 0;
}

void stop_fork_server() {
  const std::lock_guard lock(server_mutex.get());
  delete std::exchange(server, nullptr);
}

}  // namespace lab::start
