#include "common/multiprocessing/process/forkserver.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <map>
#include <system_error>
#include <vector>

#include "common/multiprocessing/process/fork_messages.hpp"
#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/os/children.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

sigset_t only(int signal) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  return set;
}

}  // namespace

void serve_forks(Descriptor requests) {
  make_stdin(open_null());  // and its workers'
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // inherited as ignored it would reap for us and lose the status
  // A worker's interrupt may come before it has stopped to ignore them.
  const sigset_t ended = only(SIGCHLD), interrupt = only(SIGINT);
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, &ended, &mask);
  ::sigprocmask(SIG_BLOCK, &interrupt, nullptr);
  Descriptor deaths(::signalfd(-1, &ended, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!deaths) throw_errno("cannot watch the fork server's children");
  std::map<pid_t, Descriptor> clients;

  const auto reap = [&] {
    signalfd_siginfo info;  // of one death; that of others meanwhile does not matter, for all the dead are asked for
    [[maybe_unused]] const auto ignored = ::read(deaths.get(), &info, sizeof info);
    int status = 0;
    for (pid_t pid; (pid = wait_for_child(-1, &status, WNOHANG)) > 0; clients.erase(pid)) answer(clients[pid], status);
  };
  const auto give_birth = [&](Request request) {
    Descriptor client = std::move(request.descriptors.front());
    if (request.error != 0) return answer(client, -request.error);
    try {
      const pid_t pid = fork_child();
      if (pid > 0) {
        answer(client, pid);
        clients.emplace(pid, std::move(client));
        return;
      }
    } catch (const std::system_error& error) {
      return answer(client, -error.code().value());
    }
    // The worker. Whatever it kept of its siblings' sockets would tell their clients nothing when the server is lost.
    leave([&] {
      if (!clients.empty()) clients.clear();
      requests.reset();
      deaths.reset();
      const Order order = receive_order(client.get());
      client.reset();
      work_off(order, std::span(request.descriptors).subspan(1), &mask);
    });
  };

  std::vector<pollfd> polls;
  for (;;) {
    polls.assign({pollfd{requests.get(), POLLIN, 0}, pollfd{deaths.get(), POLLIN, 0}});
    for (const auto& [pid, client] : clients) polls.push_back({client.get(), 0, 0});  // 0: its hang-up alone
    if (::poll(polls.data(), polls.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw_errno("the fork server cannot wait for requests");
    }
    for (std::size_t i = 2; auto& [pid, client] : clients) {
      if (polls[i++].revents == 0) continue;
      ::kill(pid, SIGKILL);  // nobody is left who wants it: its client has died
      client.reset();
    }
    if (polls[1].revents) reap();
    if (!polls[0].revents) continue;
    Request request = receive_request(requests.get());
    if (request.end) break;
    if (!request.descriptors.empty()) give_birth(std::move(request));
  }
  for (const auto& [pid, client] : clients) ::kill(pid, SIGKILL);
  for (const auto& [pid, client] : clients) wait_for_child(pid);
}

Nursery::Nursery() {
  if (const int threads = threads_alive(); threads > 1) {
    say("warning: a fork server is forked from a process with {} threads; make it before any thread starts\n", threads);
  }
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const HeldSignals held;  // until the server ignores interrupts, so that none finds it unprepared
  server_ = fork_child();
  if (server_ == 0) {
    leave([&, &mine = ours, &socket = theirs] {
      mine.reset();  // it may be a standard stream's number, which close_all_but spares
      std::signal(SIGINT, SIG_IGN);
      ::pthread_sigmask(SIG_SETMASK, &held.before, nullptr);
      // A pipe's end kept here would be an end-of-file that never comes there.
      close_all_but({socket.get(), ResourceTracker::shared().running_descriptor()});
      serve_forks(std::move(socket));
    });
  }
  requests_ = std::move(ours);
}

Nursery::~Nursery() {
  requests_.reset();
  // Not our child, if we were forked later than it: its parent waits for it, and it lives as long as that needs it.
  const Descriptor handle(
      wait_for_child(server_, nullptr, WNOHANG) == 0 ? static_cast<int>(::syscall(SYS_pidfd_open, server_, 0)) : -1);
  if (!handle) return;
  if (!wait_for(handle.get(), POLLIN, Clock::now() + kPatience)) ::kill(server_, SIGKILL);  // another client holds it
  wait_for_child(server_);
}

Forked Nursery::start(const std::string& entry, std::string_view argument, std::span<const int> descriptors,
                      std::string name) const {
  return start({.entry = entry,
                .argument = std::string(argument),
                .name = name.empty() ? entry : std::move(name),
                .parent = ::getpid(),
                .parent_name = self().name},
               descriptors);
}

Forked Nursery::start(const Order& order, std::span<const int> descriptors) const {
  find_entry(order.entry);
  if (descriptors.size() > kMostDescriptors) {
    throw std::invalid_argument(fmt::format("{} descriptors for one worker; the kernel passes at most {} at a time",
                                            descriptors.size(), kMostDescriptors));
  }
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  std::vector<int> passed{theirs.get()};
  passed.insert(passed.end(), descriptors.begin(), descriptors.end());
  send_request(requests_.get(), passed, Clock::now() + kPatience);
  theirs.reset();

  // The order is on its way while the server forks. Where that fails, the answer says why, and the order's fate does
  // not matter.
  std::exception_ptr unsent;
  try {
    send_order(ours.get(), order);
  } catch (const std::system_error&) {
    unsent = std::current_exception();
  }
  const pid_t pid = receive_pid(ours.get(), requests_.get(), Clock::now() + kPatience);
  if (unsent) std::rethrow_exception(unsent);
  return {pid, std::move(ours)};
}

std::optional<int> Forked::exit_code(Deadline deadline) const {
  if (!wait_for(sentinel.get(), POLLIN, deadline)) return std::nullopt;
  constexpr int kServerLost = 255;
  const auto status = receive_answer(sentinel.get(), MSG_PEEK);
  return status ? exit_code_of(static_cast<int>(*status)) : kServerLost;
}

}  // namespace lab::start
