#include "common/os/descriptor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace lab {

void throw_errno(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

void Descriptor::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);  // never retried: after EINTR Linux has closed it, and the number may be somebody else's
  fd_ = fd;
}

std::pair<Descriptor, Descriptor> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) throw_errno("cannot make a pipe");
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

std::pair<Descriptor, Descriptor> make_socket_pair(int type) {
  int ends[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0) throw_errno("cannot make a socket pair");
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

bool wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    const timespec timeout = time_left(deadline);
    pollfd entry{fd, events, 0};
    const int ready = ::ppoll(&entry, 1, &timeout, nullptr);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) throw_errno("cannot wait for a descriptor");
  }
}

void ignore_vanished_readers() {
  struct sigaction now {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
}

void write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      wait_for(fd, POLLOUT, Deadline::max());
    } else if (errno != EINTR) {
      throw_errno("cannot write");
    }
  }
}

std::size_t read_full(int fd, std::span<std::byte> bytes, Deadline deadline) {
  std::size_t got = 0;
  while (got < bytes.size()) {
    if (deadline != Deadline::max() && !wait_for(fd, POLLIN, deadline)) {
      errno = ETIMEDOUT;
      throw_errno("cannot read");
    }
    const ssize_t n = ::read(fd, bytes.data() + got, bytes.size() - got);
    if (n == 0) break;
    if (n > 0) {
      got += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      wait_for(fd, POLLIN, Deadline::max());
    } else if (errno != EINTR) {
      throw_errno("cannot read");
    }
  }
  return got;
}

}  // namespace lab
