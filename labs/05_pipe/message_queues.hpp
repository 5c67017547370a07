// POSIX message queues as a carrier.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "common/os/descriptor.hpp"
#include "common/os/say.hpp"

namespace lab::pipe {

/// One each way. They must have names, which are gone before anything is sent.
class MessageQueues {
 public:
  static constexpr long kLongest = 4096;
  /// Throws std::system_error where they are not permitted, or only for shorter messages.
  MessageQueues() : ways_{make(0), make(1)} {}
  /// Whether they are; where not, says so once.
  static bool permitted() {
    try {
      MessageQueues();
      return true;
    } catch (const std::system_error& error) {
      say("POSIX message queues are left out: {}. See /proc/sys/fs/mqueue and ulimit -q.\n", error.what());
      return false;
    }
  }
  void send(int side, std::string_view message) {
    if (::mq_send(ways_[side].get(), message.data(), message.size(), 0) < 0)
      throw_errno("cannot send to a message queue");
  }
  std::size_t receive(int side, std::span<std::byte> buffer) {
    const ssize_t got = ::mq_receive(ways_[1 - side].get(), room_.data(), room_.size(), nullptr);
    if (got < 0) throw_errno("cannot receive from a message queue");
    std::memcpy(buffer.data(), room_.data(), std::min(buffer.size(), static_cast<std::size_t>(got)));
    return static_cast<std::size_t>(got);
  }

 private:
  static Descriptor make(int way) {  // on Linux a queue's descriptor is a file descriptor, close-on-exec by itself
    const std::string name = fmt::format("/lab-05-{}-{}", ::getpid(), way);
    mq_attr about{};
    about.mq_maxmsg = 8;
    about.mq_msgsize = kLongest;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);  // a Ctrl-C between the two calls would leave the name behind
    Descriptor queue(::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &about));
    const int error = errno;
    if (queue) ::mq_unlink(name.c_str());
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
    if (!queue) throw_errno("cannot make a message queue");
    return queue;
  }
  std::array<Descriptor, 2> ways_;
  std::array<char, kLongest> room_{};  // a receiver must have room for the longest message
};

}  // namespace lab::pipe
