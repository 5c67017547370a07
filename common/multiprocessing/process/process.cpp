#include "common/multiprocessing/process/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <system_error>
#include <thread>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/multiprocessing/process/forkserver.hpp"
#include "common/multiprocessing/process/spawn.hpp"
#include "common/os/per_process.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

[[gnu::hot]] std::vector<Descriptor> copies_of(const std::vector<int>& descriptors) {
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

// Runs in this process: same memory, same descriptors, same everything. What it throws is its status as it is a
// process's.
class ThreadChild : public Child {
 public:
  ThreadChild(const Order& order, Entry entry, const std::vector<int>& descriptors) : Child(::getpid()) {
    if (!end_->event) throw_errno("cannot make a thread's sentinel");
    auto work = [end = end_, order, entry, given = copies_of(descriptors)]() mutable {
      end->code = run_entry(order, given, entry);
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
  std::shared_ptr<End> end_ = std::make_shared<End>();
  std::thread thread_;
};

[[gnu::hot]] std::unique_ptr<Child> start_by_fork(const Order& order, Entry entry,
                                                  const std::vector<int>& descriptors) {
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
      work_off(order, copies, &held.before, entry);
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

std::unique_ptr<Child> start_by_server(const Order& order, const std::vector<int>& descriptors) {
  const std::lock_guard lock(server_mutex.get());
  if (server == nullptr) server = exec_server();
  try {
    return server->start(order, descriptors);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe && error.code() != std::errc::connection_reset) throw;
    delete std::exchange(server, nullptr);
    server = exec_server();  // somebody killed it: the next one forks as well
    return server->start(order, descriptors);
  }
}

}  // namespace

std::string to_string(Method method) {
  constexpr const char* names[] = {"fork", "spawn", "forkserver", "thread"};
  return names[static_cast<int>(method)];
}

std::unique_ptr<Child> start_child(Method method, const Order& order, const std::vector<int>& descriptors) {
  if (method == Method::spawn) return std::make_unique<OwnChild>(spawn(order, descriptors));
  if (method == Method::forkserver) return start_by_server(order, descriptors);
  const Entry entry = find_entry(order.entry);
  if (method == Method::fork) return start_by_fork(order, entry, descriptors);
  return std::make_unique<ThreadChild>(order, entry, descriptors);
}

pid_t fork_server_pid() {
  const std::lock_guard lock(server_mutex.get());
  return server != nullptr ? server->server() : 0;
}

void stop_fork_server() {
  const std::lock_guard lock(server_mutex.get());
  delete std::exchange(server, nullptr);
}

constexpr Deadline kAtOnce{};  // long past

struct Process::State {
  Method method;
  Order order;
  std::vector<int> descriptors;
  pid_t creator = ::getpid();
  std::unique_ptr<Child> child;  // from start() to close()
  std::optional<int> code;
  bool closed = false;
  std::mutex mutex;  // of code and child: several threads may join, and signal

  std::optional<int> wait(Deadline deadline) {
    // Nobody may hold the lock while it waits: a short look would wait as long.
    if (deadline != kAtOnce) child->wait(deadline);
    const std::lock_guard lock(mutex);
    if (!code) code = child->take_exit_code();
    return code;
  }
  void send_signal(int signal) {
    if (wait(kAtOnce)) return;  // ended: there is nobody to hear it
    const std::lock_guard lock(mutex);
    child->send_signal(signal);
  }
};

namespace {

using States = std::vector<std::shared_ptr<Process::State>>;

struct Children {
  std::mutex mutex;
  States running;
  std::atomic<int> made = 0;
};
PerProcess<Children> children;

States reap() {
  Children& all = children.get();
  const std::lock_guard lock(all.mutex);
  std::erase_if(all.running, [](const auto& state) { return !state->child || state->wait(kAtOnce); });
  return all.running;
}

void end_children() {
  States running = reap();
  const Deadline patience = Clock::now() + std::chrono::seconds(1);
  std::erase_if(running, [](const auto& state) { return state->order.daemon && state->method == Method::thread; });
  for (const auto& state : running) {
    if (state->order.daemon) state->send_signal(SIGTERM);
  }
  for (const auto& state : running) {
    // A daemon that ignores SIGTERM is killed; CPython would wait for ever.
    if (state->order.daemon && !state->wait(patience)) state->send_signal(SIGKILL);
    state->wait(Deadline::max());
  }
  stop_fork_server();
}

}  // namespace

Process::Process(Method method, std::string entry, std::string argument, std::vector<int> descriptors, Options options)
    : state_(std::make_shared<State>()) {
  const std::string above = self().identity.empty() ? "" : self().identity + ":";
  const std::string identity = above + std::to_string(++children.get().made);
  state_->method = method;
  state_->order = {.entry = std::move(entry),
                   .argument = std::move(argument),
                   .name = options.name.empty() ? "Process-" + identity : std::move(options.name),
                   .identity = identity,
                   .daemon = options.daemon,
                   .parent = state_->creator,
                   .parent_name = self().name};
  state_->descriptors = std::move(descriptors);
}

Process::State& Process::ours() const {
  if (!state_) throw Misuse("this process object has been moved from");
  if (state_->closed) throw Misuse(state_->order.name + " is closed");
  if (state_->creator != ::getpid()) throw Misuse(state_->order.name + " belongs to the process that created it");
  return *state_;
}
Process::State& Process::started() const {
  if (!ours().child) throw Misuse(state_->order.name + " has not been started");
  return *state_;
}

void Process::start() {
  State& state = ours();
  if (state.child) throw Misuse(state.order.name + " has been started before");
  if (self().daemon && state.method != Method::thread)
    throw Misuse("daemonic processes are not allowed to have children");
  if (bootstrapping()) {
    throw Misuse("a worker may start children only once it runs its entry; does main begin with become_worker()?");
  }
  for (const int fd : state.descriptors) {
    if (::fcntl(fd, F_GETFD) < 0) throw_errno(fmt::format("cannot give {} descriptor {}", state.order.name, fd));
  }
  reap();
  set_children_end(end_children);
  state.child = start_child(state.method, state.order, state.descriptors);
  Children& all = children.get();
  const std::lock_guard lock(all.mutex);
  all.running.push_back(state_);
}

void Process::join(Timeout timeout) { started().wait(timeout.deadline()); }

std::optional<int> Process::exit_code() { return ours().child ? state_->wait(kAtOnce) : std::nullopt; }
bool Process::alive() { return ours().child && !state_->wait(kAtOnce); }

void Process::terminate() { started().send_signal(SIGTERM); }
void Process::kill() { started().send_signal(SIGKILL); }
void Process::interrupt() { started().send_signal(SIGINT); }

void Process::close() {
  if (!state_ || state_->closed) return;
  if (alive()) throw Misuse(state_->order.name + " cannot be closed while it runs; join it first");
  state_->child.reset();
  state_->closed = true;
}

const std::string& Process::name() const { return ours().order.name; }
pid_t Process::pid() const { return ours().child ? state_->child->pid() : 0; }
int Process::sentinel() const { return started().child->sentinel(); }

std::vector<Process> active_children() {
  std::vector<Process> active;
  for (const auto& state : reap()) active.push_back(Process(state));
  return active;
}

}  // namespace lab::start
