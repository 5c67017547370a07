#include "forkserver.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <system_error>
#include <vector>

#include "common/os/team.hpp"
#include "resource_tracker.hpp"

namespace lab::start {
namespace {

constexpr auto kPatience = std::chrono::seconds(10);  // for a server that answers within a millisecond
constexpr char kRequest = 'f';

// Room for one packet's descriptors, aligned as the kernel's headers want it.
struct Ancillary {
  alignas(cmsghdr) std::array<char, CMSG_SPACE((kMostDescriptors + 1) * sizeof(int))> bytes;
};

void send_request(int socket, std::span<const int> descriptors) {
  char byte = kRequest;
  iovec part{&byte, 1};
  Ancillary ancillary{};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = ancillary.bytes.data();
  packet.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
  cmsghdr* header = CMSG_FIRSTHDR(&packet);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  while (::sendmsg(socket, &packet, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) throw_errno("cannot ask the fork server for a worker");
  }
}

struct Request {
  std::vector<Descriptor> descriptors;
  bool end = false;    // end-of-file: no client is left
  bool whole = false;  // a request as it should be, none of its descriptors lost
};

Request receive_request(int socket) {
  Request request;
  char byte = 0;
  iovec part{&byte, 1};
  Ancillary ancillary{};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = ancillary.bytes.data();
  packet.msg_controllen = ancillary.bytes.size();
  const ssize_t got = ::recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EINTR || errno == EMFILE || errno == ENFILE || errno == ENOMEM)) return request;
  for (cmsghdr* header = CMSG_FIRSTHDR(&packet); got > 0 && header; header = CMSG_NXTHDR(&packet, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + CMSG_LEN(sizeof(int)) <= header->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
      request.descriptors.emplace_back(fd);
    }
  }
  request.end = got <= 0;
  // Out of descriptors of its own, the kernel drops the rest and says so by a flag.
  request.whole =
      got == 1 && byte == kRequest && !request.descriptors.empty() && !(packet.msg_flags & (MSG_CTRUNC | MSG_TRUNC));
  return request;
}

// 8-byte integers, as CPython's server writes them: the pid, later the wait status; -errno where it could not fork.
void answer(const Descriptor& client, std::int64_t number) {
  ::send(client.get(), &number, sizeof number,
         MSG_NOSIGNAL | MSG_DONTWAIT);  // a client that does not listen any more is none
}

// False when there is none: the server is gone. With our order unread in its socket that is a reset, otherwise an
// end-of-file.
bool read_answer(int socket, std::int64_t& number) {
  try {
    return read_full(socket, std::as_writable_bytes(std::span(&number, 1))) == sizeof number;
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::connection_reset) return false;
    throw;
  }
}

sigset_t only(int signal) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  return set;
}

}  // namespace

void serve_forks(Descriptor requests) {
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // inherited as ignored it would reap for us and lose the status
  const sigset_t ended = only(SIGCHLD);
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, &ended, &mask);
  Descriptor deaths(::signalfd(-1, &ended, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!deaths) throw_errno("cannot watch the fork server's children");
  std::map<pid_t, Descriptor> clients;

  const auto reap = [&] {
    signalfd_siginfo info;
    while (::read(deaths.get(), &info, sizeof info) > 0) {
    }
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0; clients.erase(pid)) answer(clients[pid], status);
  };
  const auto give_birth = [&](Request request) {
    Descriptor client = std::move(request.descriptors.front());
    if (!request.whole) return answer(client, -EMFILE);
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
      clients.clear();
      requests.reset();
      deaths.reset();
      ::sigprocmask(SIG_SETMASK, &mask, nullptr);
      Order order = receive_order(client.get());
      client.reset();
      request.descriptors.erase(request.descriptors.begin());
      work_off(std::move(order), std::move(request.descriptors));
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
  for (const auto& [pid, client] : clients) ::waitpid(pid, nullptr, 0);
}

Nursery::Nursery() {
  if (const int threads = threads_alive(); threads > 1) {
    fmt::print(stderr,
               "warning: a fork server is forked from a process with {} threads; make it before any thread starts\n",
               threads);
  }
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const sigset_t interrupt = only(SIGINT);  // held back until the server ignores it, so that none finds it unprepared
  sigset_t mask;
  ::pthread_sigmask(SIG_BLOCK, &interrupt, &mask);
  server_ = fork_child();
  if (server_ == 0) {
    leave([&, &socket = theirs] {
      std::signal(SIGINT, SIG_IGN);
      ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
      // A pipe's end kept here would be an end-of-file that never comes there.
      close_all_but({socket.get(), ResourceTracker::shared().running_descriptor()});
      serve_forks(std::move(socket));
    });
  }
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  requests_ = std::move(ours);
}

Nursery::~Nursery() {
  requests_.reset();
  // Not our child, if we were forked later than it: its parent waits for it, and it lives as long as that needs it.
  const Descriptor handle(
      ::waitpid(server_, nullptr, WNOHANG) == 0 ? static_cast<int>(::syscall(SYS_pidfd_open, server_, 0)) : -1);
  if (!handle) return;
  if (!wait_for(handle.get(), POLLIN, Clock::now() + kPatience)) ::kill(server_, SIGKILL);  // another client holds it
  ::waitpid(server_, nullptr, 0);
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
  const timeval patience{kPatience.count(), 0};
  ::setsockopt(ours.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::vector<int> passed{theirs.get()};
  passed.insert(passed.end(), descriptors.begin(), descriptors.end());
  send_request(requests_.get(), passed);
  theirs.reset();

  // The order is on its way while the server forks. Where that fails, the answer says why, and the order's fate does
  // not matter.
  std::exception_ptr unsent;
  try {
    send_order(ours.get(), order);
  } catch (const std::system_error&) {
    unsent = std::current_exception();
  }
  std::int64_t pid = -ETIMEDOUT;
  if (wait_for(ours.get(), POLLIN, Clock::now() + kPatience) && !read_answer(ours.get(), pid)) pid = -EPIPE;
  if (pid < 0)
    throw std::system_error(static_cast<int>(-pid), std::generic_category(), "the fork server made no worker");
  if (unsent) std::rethrow_exception(unsent);
  return {static_cast<pid_t>(pid), std::move(ours)};
}

std::optional<int> Forked::exit_code(Deadline deadline) const {
  if (!wait_for(sentinel.get(), POLLIN, deadline)) return std::nullopt;
  std::int64_t status = 0;
  constexpr int kServerLost = 255;
  return read_answer(sentinel.get(), status) ? exit_code_of(static_cast<int>(status)) : kServerLost;
}

}  // namespace lab::start
