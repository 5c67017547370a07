#include "common/multiprocessing/process/forkserver.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <system_error>

#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/os/packet.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

constexpr char kRequest = 'f';

/// Asks for a worker: passes the client's socket and then the worker's descriptors. Throws std::system_error: EPIPE when
/// the server is gone, ETIMEDOUT when it has not taken it by the deadline.
void send_request(int socket, std::span<const int> descriptors, Deadline deadline) {
  while (send_packet(socket, std::as_bytes(std::span(&kRequest, 1)), descriptors) < 0) {
    if (errno == EINTR || (errno == EAGAIN && wait_for(socket, POLLOUT, deadline))) continue;
    if (errno == EAGAIN) errno = ETIMEDOUT;
    throw_errno("cannot ask the fork server for a worker");
  }
}

/// Answers with 8 bytes, as CPython's server does: the pid, with the worker's pidfd beside it; later the exit code; -errno
/// where it could not fork. A client that does not listen any more is none.
void answer(const Descriptor& client, std::int64_t number, std::initializer_list<int> pidfd = {}) {
  const auto bytes = std::as_bytes(std::span(&number, 1));
  while (send_packet(client.get(), bytes, pidfd) < 0 && errno == EINTR) continue;
}

class ServersChild : public Child {
 public:
  ServersChild(pid_t pid, Descriptor pidfd, Descriptor socket)
      : Child(pid), pidfd_(std::move(pidfd)), socket_(std::move(socket)) {}
  int sentinel() override { return socket_.get(); }
  // The answer stays on the socket, which is readable from then on.
  std::optional<int> take_exit_code() override {
    constexpr int kServerLost = 255, kLastSignal = 64;
    std::int64_t code = 0;
    ssize_t got = 0;
    do {  // with our order unread in its socket, the loss of the server is a reset, otherwise an end-of-file
      got = ::recv(socket_.get(), &code, sizeof code, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) return std::nullopt;
    const bool told = got == sizeof code && code >= -kLastSignal && code <= kServerLost;
    return told ? static_cast<int>(code) : kServerLost;
  }
  void send_signal(int signal) override { lab::send_signal(pidfd_, signal); }

 private:
  Descriptor pidfd_;  // to signal it: its number may be given away, for it is not ours to reap
  Descriptor socket_;
};

}  // namespace

Request receive_request(int socket) {
  char byte = 0;
  Packet packet = receive_packet(socket, std::as_writable_bytes(std::span(&byte, 1)));
  Request request{.descriptors = std::move(packet.descriptors)};
  if (packet.size < 0) {  // nothing was taken: the next try meets it again
    request.end = errno != EINTR && errno != EAGAIN && errno != EMFILE && errno != ENFILE && errno != ENOMEM;
    return request;
  }
  // An empty packet reads like end-of-file, and is none as long as the other end is open.
  request.end = packet.size == 0 && wait_for(socket, POLLRDHUP, Deadline{});
  const bool whole = packet.size == 1 && byte == kRequest && !(packet.flags & MSG_TRUNC);
  if (!whole || request.descriptors.empty()) request.error = EBADMSG;
  if (packet.flags & MSG_CTRUNC) request.error = EMFILE;  // the kernel has dropped some
  return request;
}

std::unique_ptr<Child> receive_child(Descriptor socket, int requests, Deadline deadline) {
  constexpr int kLastErrno = 4095;
  int error = ETIMEDOUT;
  if (wait_for(socket.get(), POLLIN, deadline)) {
    std::int64_t number = 0;
    Packet packet;
    do {
      packet = receive_packet(socket.get(), std::as_writable_bytes(std::span(&number, 1)));
    } while (packet.size < 0 && errno == EINTR);
    const bool whole = packet.size == sizeof number, is_pid = whole && number > 0 && number <= INT_MAX;
    std::vector<Descriptor>& pidfd = packet.descriptors;
    if (is_pid && !pidfd.empty())
      return std::make_unique<ServersChild>(static_cast<pid_t>(number), std::move(pidfd.front()), std::move(socket));
    if (is_pid || !whole) {  // a server that is being killed may have closed our socket before that for requests
      error = wait_for(requests, 0, std::min(deadline, Clock::now() + std::chrono::seconds(1))) ? EPIPE : EMFILE;
    } else {
      error = number < 0 && number >= -kLastErrno ? static_cast<int>(-number) : EBADMSG;
    }
  }
  throw std::system_error(error, std::generic_category(), "the fork server made no worker");
}

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
        return answer(workers.back().client, pid, {workers.back().process.sentinel()});
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

std::unique_ptr<Child> Nursery::start(const Order& order, std::span<const int> descriptors) const {
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
  auto child = receive_child(std::move(ours), requests_.get(), Clock::now() + kPatience);
  if (unsent) std::rethrow_exception(unsent);
  return child;
}

}  // namespace lab::start
