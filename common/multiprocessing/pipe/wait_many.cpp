#include "common/multiprocessing/pipe/wait_many.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace lab::pipe {

std::vector<std::size_t> wait_many(const std::vector<Waitable>& list, std::chrono::nanoseconds timeout) {
  using namespace std::chrono;
  const Deadline deadline = Clock::now() + std::clamp<nanoseconds>(timeout, seconds(0), hours(24));
  std::vector<pollfd> entries;
  for (const Waitable& each : list) {
    if (each.fd < 0) throw NotOpen("cannot wait for a descriptor that is closed");  // poll would pass over it
    entries.push_back({each.fd, POLLIN, 0});
  }
  for (;;) {
    const timespec at_most = time_left(deadline);
    if (::ppoll(entries.data(), entries.size(), &at_most, nullptr) >= 0) break;
    if (errno != EINTR) throw_errno("cannot wait for many");
  }
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].revents & POLLNVAL) {
      errno = EBADF;
      throw_errno("cannot wait for descriptor " + std::to_string(entries[i].fd));
    }
    if (entries[i].revents) ready.push_back(i);  // POLLHUP and POLLERR too: the next read will not block
  }
  return ready;
}

Descriptor sentinel_of(pid_t child) {
  Descriptor sentinel(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!sentinel) throw_errno("cannot watch process " + std::to_string(child));
  return sentinel;
}

}  // namespace lab::pipe
