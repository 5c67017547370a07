// What is seen and not timed: what a counter in Redis keeps, who sees a flag there, and what a restart leaves of it.
#pragma once

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "common/harness/claims.hpp"
#include "common/os/team.hpp"
#include "private_server.hpp"
#include "redis_flag.hpp"

namespace lab::redis {

/// What keeps a fact from being looked at (a full disk, a replica that does not come) is its sentence.
template <class Look>
Seen or_the_reason(const Look& look) {
  try {
    return look();
  } catch (const std::runtime_error& error) {
    return {.what = error.what(), .known = false};
  }
}

/// What `workers` processes make of one counter, each with a connection of its own.
template <class Work>
std::int64_t count(const Address& address, int workers, const Work& work) {
  const std::string key = new_key("counter");
  Counter(address, key).clear();
  run_team({.size = workers}, [&](int) {
    Counter mine(address, key);
    work(mine, key);
    return 0;
  });
  return Counter(address, key).get();
}

/// What `workers` processes of `each` increments have made of a counter on that server.
struct Kept {
  std::int64_t of = 0, by_incr = 0, by_get_and_set = 0;
  std::int64_t of_locked = 0, by_get_and_set_locked = 0;  ///< fewer, for they take turns
};
inline Kept count_together(const Address& address, int workers, int each) {
  const int few = each / 10;
  Kept kept{.of = std::int64_t{workers} * each, .of_locked = std::int64_t{workers} * few};
  kept.by_incr = count(address, workers, [&](Counter& mine, const std::string&) {
    for (int i = 0; i < each; ++i) mine.add_by_incr();
  });
  kept.by_get_and_set = count(address, workers, [&](Counter& mine, const std::string&) {
    for (int i = 0; i < each; ++i) mine.add_by_get_and_set();
  });
  kept.by_get_and_set_locked = count(address, workers, [&](Counter& mine, const std::string& key) {
    Lock lock(address, key + ":lock");
    for (int i = 0; i < few; ++i) {
      lock.acquire(Clock::now() + std::chrono::seconds(30));
      mine.add_by_get_and_set();
      if (!lock.release()) throw Error("the lock expired while it was held");
    }
  });
  return kept;
}

/// What redis-cli, a program of its own, gets for a key. Throws Error where it cannot, or not within 5 s.
inline std::string get_by_redis_cli(const Address& address, const std::string& key) {
  const Descriptor out(::memfd_create("redis-cli", MFD_CLOEXEC));
  if (!out) throw_errno("cannot make a file in memory");
  const pid_t pid = fork_child();
  if (pid == 0) {
    leave([&] {
      ::dup2(out.get(), 1);
      ::setenv("REDISCLI_AUTH", address.password.c_str(), 1);  // in no command line
      ::execlp("redis-cli", "redis-cli", "-h", address.host.c_str(), "-p", std::to_string(address.port).c_str(), "GET",
               key.c_str(), nullptr);
      throw_errno("cannot run redis-cli");
    });
  }
  ChildProcess cli(pid);
  const std::optional<int> code = cli.wait(Clock::now() + std::chrono::seconds(5));
  if (code != 0)
    throw Error(code ? "redis-cli ended with " + describe_exit(*code) : "redis-cli has not ended within 5 s");
  std::string said(100, '\0');
  said.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::pread(out.get(), said.data(), said.size(), 0))));
  return said.substr(0, said.find('\n'));
}

inline Seen incr_is_exact(const Address& address, bool quick) {
  return or_the_reason([&]() -> Seen {
    constexpr int workers = 4;
    const Kept kept = count_together(address, workers, quick ? 500 : 5000);
    return {
        kept.by_incr == kept.of && kept.by_get_and_set_locked == kept.of_locked,
        fmt::format("{} workers: INCR kept {} of {}, GET and SET kept {} of {}, and under a lock {} of {}", workers,
                    kept.by_incr, kept.of, kept.by_get_and_set, kept.of, kept.by_get_and_set_locked, kept.of_locked)};
  });
}

/// With two servers of our own.
inline Seen others_see_the_flag() {
  return or_the_reason([]() -> Seen {
    const PrivateServer primary, replica({.primary = primary.by_tcp()});
    RedisFlag<PolledFlag> flag(primary.by_socket());
    flag.connect().raise();
    const std::string by_cli = get_by_redis_cli(primary.by_tcp(), flag.key());
    // Replication keeps the order: a replica that has confirmed a later write of ours has the flag, too.
    Connection writer(primary.by_tcp());
    writer.ok({"SET", new_key("later"), "1", "EX", kExpiry});
    if (writer.integer({"WAIT", "1", "3500"}) < 1) throw Error("no replica has confirmed anything within 3.5 s");
    const bool by_replica = PolledFlag(replica.by_tcp(), flag.key()).raised();
    return {by_cli == "1" && by_replica, fmt::format("redis-cli reads {}, and on the replica the flag is {}", by_cli,
                                                     by_replica ? "raised" : "not raised")};
  });
}

/// With one.
inline Seen snapshot_keeps_the_flag() {
  return or_the_reason([]() -> Seen {
    PrivateServer server;
    const RedisFlag<PolledFlag> flag(server.by_socket());
    flag.connect().raise();
    server.restart();
    const bool without = flag.connect().raised();
    flag.connect().raise();
    Connection(server.by_socket()).ok({"SAVE"});
    server.restart();
    const bool with = flag.connect().raised();
    const auto state = [](bool raised) { return raised ? "raised" : "gone"; };
    return {with && !without, fmt::format("after a restart the flag was {} without a snapshot, and {} with one",
                                          state(without), state(with))};
  });
}

}  // namespace lab::redis
