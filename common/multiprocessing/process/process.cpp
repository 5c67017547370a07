#include "common/multiprocessing/process/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <mutex>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/multiprocessing/process/spawn.hpp"
#include "common/os/per_process.hpp"

namespace lab::start {

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
  for (const auto& state : running) {
    if (state->order.daemon && state->method != Method::thread) state->send_signal(SIGTERM);
  }
  for (const auto& state : running) {
    if (!state->order.daemon) {
      state->wait(Deadline::max());
    } else if (state->method != Method::thread && !state->wait(patience)) {
      state->send_signal(SIGKILL);  // it ignores SIGTERM; CPython would wait for ever
      state->wait(Deadline::max());
    }
  }
  stop_fork_server();
}

}  // namespace

Process::Process(Method method, std::string entry, std::string argument, std::vector<int> descriptors, Options options)
    : state_(std::make_shared<State>()) {
  const int number = ++children.get().made;
  Order& order = state_->order;
  order.entry = std::move(entry);
  order.argument = std::move(argument);
  order.identity = fmt::format("{}{}{}", self().identity, self().identity.empty() ? "" : ":", number);
  order.name = options.name.empty() ? "Process-" + order.identity : std::move(options.name);
  order.daemon = options.daemon;
  order.parent = ::getpid();
  order.parent_name = self().name;
  state_->method = method;
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
  const std::lock_guard lock(children.get().mutex);
  children.get().running.push_back(state_);
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
Method Process::method() const { return ours().method; }
bool Process::daemon() const { return ours().order.daemon; }
pid_t Process::pid() const { return ours().child ? state_->child->pid() : 0; }
int Process::sentinel() const { return started().child->sentinel(); }

std::vector<Process> active_children() {
  std::vector<Process> active;
  for (const auto& state : reap()) active.push_back(Process(state));
  return active;
}

}  // namespace lab::start
