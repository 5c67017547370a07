#include "common/multiprocessing/pipe/wait_many.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace lab::pipe {

std::vector<std::size_t> wait_many(const std::vector<Waitable>& list, Timeout timeout) {
  const Deadline deadline = timeout.deadline();
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

}  // namespace lab::pipe
