// One waiter, many that write: pipes and processes served by wait_many alone.
#pragma once

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "common/harness/claims.hpp"
#include "common/multiprocessing/pipe/pipe.hpp"
#include "common/os/children.hpp"
#include "common/os/team.hpp"

namespace lab::pipe {

struct Served {
  int messages = 0;   ///< whole and from the pipe they should come from
  int ends = 0;       ///< pipes read to their end-of-file
  int sentinels = 0;  ///< processes seen to end
  int waits = 0;      ///< calls of wait_many it took
};

/// Starts `writers` processes that share `pipes` pipes out among them, send `messages` through each and end; serves all
/// of them from one thread until nothing is left to wait for, 30 s at most.
inline Served serve_pipes_and_sentinels(int pipes, int writers, int messages) {
  std::vector<Connection> receivers, senders;
  for (int i = 0; i < pipes; ++i) {
    auto [receiver, sender] = one_way();
    receivers.push_back(std::move(receiver));
    senders.push_back(std::move(sender));
  }
  std::vector<Descriptor> sentinels;
  std::vector<pid_t> pids;
  for (int writer = 0; writer < writers; ++writer) {
    const pid_t pid = fork_child();
    if (pid == 0) {
      leave([&] {
        for (int i = 0; i < messages; ++i) {
          for (int p = writer; p < pipes; p += writers) senders[p].send(p);
        }
      });
    }
    pids.push_back(pid);
    sentinels.push_back(open_pidfd(pid));
  }
  senders.clear();  // the writers hold the only ones now: their end is end-of-file

  Served served;
  const Deadline deadline = Clock::now() + std::chrono::seconds(30);
  while (served.ends < pipes || served.sentinels < writers) {
    std::vector<Waitable> list;
    std::vector<int> which;  // of each waitable: its pipe, or pipes + its writer
    for (int i = 0; i < pipes; ++i) {
      if (!receivers[i].closed()) list.push_back(receivers[i]), which.push_back(i);
    }
    for (int i = 0; i < writers; ++i) {
      if (sentinels[i]) list.push_back(sentinels[i]), which.push_back(pipes + i);
    }
    const auto ready = wait_many(list, deadline - Clock::now());
    ++served.waits;
    if (ready.empty()) break;  // the deadline
    for (const std::size_t position : ready) {
      const int i = which[position];
      if (i >= pipes) {
        sentinels[i - pipes].reset();
        ++served.sentinels;
        continue;
      }
      try {
        served.messages += receivers[i].recv<int>() == i;
      } catch (const EndOfFile&) {
        receivers[i].close();
        ++served.ends;
      }
    }
  }
  receivers.clear();  // a writer that is late gets EPIPE, and ends
  for (const pid_t pid : pids) wait_for_child(pid);
  return served;
}

inline Seen one_waiter_serves_all() {
  constexpr int kPipes = 8, kMessages = 100;
  const Served served = serve_pipes_and_sentinels(kPipes, 2, kMessages);
  return {.holds = served.messages == kPipes * kMessages && served.ends == kPipes && served.sentinels == 2,
          .what = fmt::format("{} of {} messages, {} ends of file, {} ended processes, by {} waits", served.messages,
                              kPipes * kMessages, served.ends, served.sentinels, served.waits)};
}

}  // namespace lab::pipe
