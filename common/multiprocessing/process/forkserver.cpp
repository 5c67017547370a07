#include "common/multiprocessing/process/forkserver.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <vector>

#include "common/multiprocessing/process/fork_messages.hpp"
#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/os/children.hpp"
#include "common/os/say.hpp"

namespace lab::start {

void serve_forks(Descriptor requests, Descriptor client) {
  make_stdin(open_null());  // and its workers'
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // inherited as ignored it would reap for us and lose the status
  sigset_t interrupt, mask;
  ::sigemptyset(&interrupt);
  ::sigaddset(&interrupt, SIGINT);
  ::sigprocmask(SIG_BLOCK, &interrupt, &mask);  // a worker's may come before it has stopped to ignore them
  struct Worker {
    ChildProcess process;
    Descriptor client;
  };
  std::vector<Worker> workers;

  const auto give_birth = [&](Request request) {
    Descriptor socket = std::move(request.descriptors.front());
    if (request.error != 0) return answer(socket, -request.error);
    try {
      const pid_t pid = fork_child();
      if (pid > 0) {
        workers.push_back({ChildProcess(pid), std::move(socket)});
        return answer(workers.back().client, pid, workers.back().process.sentinel());
      }
    } catch (const std::system_error& error) {
      return answer(socket, -error.code().value());
    }
    // The worker. Whatever it kept of its siblings' sockets would tell their clients nothing when the server is lost.
    leave([&] {
      if (!workers.empty()) workers.clear();
      requests.reset();
      client.reset();
      const Order order = receive_order(socket.get());
      socket.reset();
      work_off(order, std::span(request.descriptors).subspan(1), &mask);
    });
  };

  std::vector<pollfd> polls;
  for (;;) {
    polls.assign({{requests.get(), POLLIN, 0}, {client.get(), POLLIN, 0}});  // without a number it is passed over
    for (const Worker& worker : workers) {
      polls.push_back({worker.process.sentinel(), POLLIN, 0});
      polls.push_back({worker.client.get(), 0, 0});  // 0: its hang-up alone
    }
    if (::poll(polls.data(), polls.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw_errno("the fork server cannot wait for requests");
    }
    for (std::size_t i = workers.size(); i-- > 0;) {
      if (polls[2 + 2 * i].revents != 0) {
        answer(workers[i].client, *workers[i].process.wait());
        workers.erase(workers.begin() + static_cast<std::ptrdiff_t>(i));
      } else if (polls[3 + 2 * i].revents != 0) {
        workers[i].process.send_signal(SIGKILL);  // nobody is left who wants it: its client has died
        workers[i].client.reset();
      }
    }
    if (polls[1].revents != 0) break;
    if (polls[0].revents == 0) continue;
    Request request = receive_request(requests.get());
    if (request.end) break;
    if (!request.descriptors.empty()) give_birth(std::move(request));
  }
  for (const Worker& worker : workers) worker.process.send_signal(SIGKILL);
}

Nursery::Nursery() {
  if (const int threads = threads_alive(); threads > 1) {
    say("warning: a fork server is forked from a process with {} threads; make it before any thread starts\n", threads);
  }
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const HeldSignals held;  // until the server ignores interrupts, so that none finds it unprepared
  const pid_t client = ::getpid(), server = fork_child(false);
  if (server == 0) {
    leave([&, &mine = ours, &socket = theirs] {
      mine.reset();  // it may be a standard stream's number, which close_all_but spares
      std::signal(SIGINT, SIG_IGN);
      ::pthread_sigmask(SIG_SETMASK, &held.before, nullptr);
      // A pipe's end kept here would be an end-of-file that never comes there.
      close_all_but({socket.get(), ResourceTracker::shared().running_descriptor()});
      Descriptor watched = open_pidfd(client);
      if (::getppid() == client) serve_forks(std::move(socket), std::move(watched));
    });
  }
  server_ = ChildProcess(server);
  requests_ = std::move(ours);
}

Nursery::~Nursery() {
  // To the server this is end-of-file, even where a bystander that was forked meanwhile has the socket as well.
  if (server_.ours()) ::shutdown(requests_.get(), SHUT_RDWR);
  requests_.reset();
  server_.wait(Clock::now() + kPatience);
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
  Born born = receive_born(ours.get(), requests_.get(), Clock::now() + kPatience);
  if (unsent) std::rethrow_exception(unsent);
  return {born.pid, std::move(ours), std::move(born.pidfd)};
}

std::optional<int> Forked::exit_code(Deadline deadline) const {
  if (!wait_for(sentinel.get(), POLLIN, deadline)) return std::nullopt;
  constexpr int kServerLost = 255, kLastSignal = 64;
  const auto code = receive_answer(sentinel.get(), MSG_PEEK);
  return code && *code >= -kLastSignal && *code <= kServerLost ? static_cast<int>(*code) : kServerLost;
}

}  // namespace lab::start
