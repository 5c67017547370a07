// Parents of every size, kept side by side: touching a GiB takes longer than all that is measured with it, and a size
// must not depend on what was measured before.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/multiprocessing/process/process.hpp"
#include "common/os/message.hpp"
#include "four_ways.hpp"
#include "memory.hpp"

namespace lab::start {

inline int nothing(std::string_view, std::span<Descriptor>) { return 0; }

template <Method method>
int by_process() {
  Process process(method, "nothing");
  process.start();
  process.join();  // SizedParent::seconds has the deadline
  return *process.exit_code();
}
inline int by_lessons_server() {
  static std::optional<four_ways::ForkServer> server;
  if (!server) at_process_exit(0, [] { server.reset(); }), server.emplace();
  return server->run("nothing");
}

/// What a parent can be told to do: a Process of each method, the lesson's way, the floor. What it returns is the
/// worker's exit code.
inline const std::map<std::string, int (*)()> kJobs{
    {"thread", by_process<Method::thread>},
    {"fork", by_process<Method::fork>},
    {"spawn", by_process<Method::spawn>},
    {"forkserver", by_process<Method::forkserver>},
    {"lesson_thread", [] { return four_ways::by_thread(four_ways::nothing); }},
    {"lesson_fork", [] { return four_ways::by_fork(four_ways::nothing); }},
    {"lesson_spawn", [] { return four_ways::by_spawn("nothing"); }},
    {"lesson_forkserver", by_lessons_server},
    {"bare_thread", four_ways::bare_thread},
    {"bare_fork", four_ways::bare_fork},
    {"bare_vfork", four_ways::bare_vfork},
    {"bare_spawn_lab", four_ways::bare_spawn_lab},
    {"bare_spawn", four_ways::bare_spawn},
    {"bare_spawn_empty", four_ways::bare_spawn_empty},
    {"bare_fork_and_round_trips", four_ways::bare_fork_and_round_trips}};

inline int hold_and_start(std::string_view argument, std::span<Descriptor> descriptors) {
  const auto [mib, pages] = decode<std::tuple<std::uint64_t, Pages>>(argument);
  const Mapping memory = touched_memory(mib * kMiB, pages);
  const int socket = descriptors[0].get();
  while (const auto message = receive_message(socket)) {
    const auto [job, times] = decode<std::tuple<std::string, std::int64_t>>(*message);
    std::string error;
    const auto begin = Clock::now();
    try {
      for (std::int64_t i = 0; i < times; ++i) {
        const int code = kJobs.at(job)();
        if (code != 0) throw std::runtime_error("a worker ended with " + describe_exit(code));
      }
    } catch (const std::exception& failure) {
      error = job + ": " + failure.what();
    }
    send_message(socket, encode(std::tuple(std::chrono::duration<double>(Clock::now() - begin).count(), error)));
  }
  return 0;
}
[[maybe_unused]] inline const bool holds =
    register_entry("nothing", nothing) && register_entry("hold_and_start", hold_and_start);

/// A process that holds that much touched memory and does jobs when told to. Lives until this process ends.
class SizedParent {
 public:
  SizedParent(std::size_t mib, Pages pages)
      : process_(Method::fork, "hold_and_start", encode(std::tuple(std::uint64_t{mib}, pages)), {ends_.second.get()},
                 {.name = "Parent-" + std::to_string(mib)}) {
    process_.start();
    ends_.second.reset();
  }
  SizedParent(const SizedParent&) = delete;
  SizedParent& operator=(const SizedParent&) = delete;
  ~SizedParent() {
    ::shutdown(ends_.first.get(), SHUT_RDWR);  // to close it is not enough: like any forked child it has a copy
    process_.join(std::chrono::seconds(5));
    process_.kill();
  }

  /// Seconds that `times` repetitions of a job take in it, one after the other. Throws std::runtime_error.
  double seconds(const std::string& job, std::int64_t times) {
    std::optional<std::string> answer;
    try {
      const Deadline deadline = Clock::now() + std::chrono::seconds(60);
      send_message(ends_.first.get(), encode(std::tuple(job, times)), deadline);
      answer = receive_message(ends_.first.get(), kMessageLimit, deadline);
    } catch (const std::system_error&) {  // too late, or nobody has the other end any more, as with end-of-file
    }
    if (!answer) {
      process_.join(std::chrono::seconds(5));
      const auto code = process_.exit_code();
      throw std::runtime_error(process_.name() +
                               (code ? " has ended with " + describe_exit(*code) : " does not answer"));
    }
    const auto [taken, error] = decode<std::tuple<double, std::string>>(*answer);
    if (!error.empty()) throw std::runtime_error(process_.name() + ": " + error);
    return taken;
  }

 private:
  std::pair<Descriptor, Descriptor> ends_ = make_socket_pair(SOCK_STREAM);
  Process process_;
};

/// The one of that size, made when first asked for. Of size 0 each job has its own: a process that has had a thread asks
/// the kernel at every fork how many it has now, which the smallest of forks would feel.
inline SizedParent& sized_parent(std::size_t mib, Pages pages, const std::string& job) {
  // Never destroyed: statics that are destroyed may be so before the exit order runs.
  static auto& parents = *new std::map<std::tuple<std::size_t, Pages, std::string>, SizedParent>;
  if (parents.empty()) at_process_exit(0, [] { parents.clear(); });  // before children are joined: they wait for us
  return parents.try_emplace({mib, pages, mib > 0 ? "" : job}, mib, pages).first->second;
}

}  // namespace lab::start
