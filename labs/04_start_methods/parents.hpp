// Parents of every size, kept side by side: touching a GiB takes longer than all that is measured with it, and a size
// must not depend on what was measured before.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <memory>
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
void start_and_join() {
  Process process(method, "nothing");
  process.start();
  process.join();  // SizedParent::seconds has the deadline
  if (const auto code = process.exit_code(); code != 0)
    throw std::runtime_error("a worker ended with " + describe_exit(code.value_or(255)));
}
template <auto way>
void by_lesson() {
  if (const int code = way(); code != 0) throw std::runtime_error("a worker ended with " + describe_exit(code));
}
inline int by_lessons_server() {
  static std::optional<four_ways::ForkServer> server;
  if (!server) at_process_exit(0, [] { server.reset(); }), server.emplace();
  return server->run("nothing");
}

/// What a parent can be told to do: a Process of each method, the lesson's way, the floor.
inline const std::map<std::string, void (*)()> kJobs{
    {"thread", start_and_join<Method::thread>},
    {"fork", start_and_join<Method::fork>},
    {"spawn", start_and_join<Method::spawn>},
    {"forkserver", start_and_join<Method::forkserver>},
    {"lesson_thread", by_lesson<[] { return four_ways::by_thread(four_ways::nothing); }>},
    {"lesson_fork", by_lesson<[] { return four_ways::by_fork(four_ways::nothing); }>},
    {"lesson_spawn", by_lesson<[] { return four_ways::by_spawn("nothing"); }>},
    {"lesson_forkserver", by_lesson<by_lessons_server>},
    {"bare_thread", four_ways::bare_thread},
    {"bare_fork", four_ways::bare_fork},
    {"bare_vfork", four_ways::bare_vfork},
    {"bare_spawn_lab", four_ways::bare_spawn_lab},
    {"bare_spawn", four_ways::bare_spawn},
    {"bare_spawn_empty", four_ways::bare_spawn_empty},
    {"bare_fork_and_round_trips", four_ways::bare_fork_and_round_trips}};

inline int hold_and_start(std::string_view argument, std::span<Descriptor> descriptors) {
  const auto [mib, huge] = decode<std::tuple<std::uint64_t, bool>>(argument);
  const TouchedMemory memory(mib * kMiB, huge ? Pages::huge : Pages::small);
  const int socket = descriptors[0].get();
  while (const auto message = receive_message(socket)) {
    const auto [job, times] = decode<std::tuple<std::string, std::int64_t>>(*message);
    if (job.empty()) break;
    std::string error;
    const auto begin = Clock::now();
    try {
      for (std::int64_t i = 0; i < times; ++i) kJobs.at(job)();
    } catch (const std::exception& failure) {
      error = *failure.what() ? failure.what() : "unnamed error";
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
  SizedParent(std::size_t mib, Pages pages) {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    socket_ = std::move(ours);
    process_.emplace(Method::fork, "hold_and_start", encode(std::tuple(std::uint64_t{mib}, pages == Pages::huge)),
                     std::vector<int>{theirs.get()}, Process::Options{.name = "Parent-" + std::to_string(mib)});
    process_->start();
    theirs.reset();
    try {
      seconds("thread", 0);  // returns once its memory is touched
    } catch (...) {
      process_->kill();  // nobody else will tell it to end, and the end of this process waits for it
      throw;
    }
  }
  SizedParent(const SizedParent&) = delete;
  SizedParent& operator=(const SizedParent&) = delete;
  ~SizedParent() {
    try {  // by a message: end-of-file would not come, for like any forked child it has a copy of our end
      send_message(socket_.get(), encode(std::tuple(std::string(), std::int64_t{0})), Clock::now() + kPatience);
    } catch (const std::system_error&) {
    }  // it has ended already
    process_->join(std::chrono::seconds(5));
    process_->kill();
  }

  /// Seconds that `times` repetitions of a job take in it, one after the other. Throws std::runtime_error.
  double seconds(const std::string& job, std::int64_t times) {
    std::optional<std::string> answer;
    try {
      const Deadline deadline = Clock::now() + std::chrono::seconds(60);
      send_message(socket_.get(), encode(std::tuple(job, times)), deadline);
      if (!wait_for(socket_.get(), POLLIN, deadline))
        throw std::runtime_error(process_->name() + " gave no answer within 60 s");
      answer = receive_message(socket_.get());
    } catch (const std::system_error&) {  // nobody has the other end any more, as with end-of-file
    }
    if (!answer) {
      process_->join(std::chrono::seconds(5));
      const auto code = process_->exit_code();
      throw std::runtime_error(process_->name() + (code ? " has ended with " + describe_exit(*code) : " does not answer"));
    }
    auto [taken, error] = decode<std::tuple<double, std::string>>(*answer);
    if (!error.empty()) throw std::runtime_error(process_->name() + ": " + job + ": " + error);
    return taken;
  }

 private:
  Descriptor socket_;
  std::optional<Process> process_;
};

/// The one of that size, made when first asked for. Of size 0 each job has its own: a process that has had a thread asks
/// the kernel at every fork how many it has now, which the smallest of forks would feel.
inline SizedParent& sized_parent(std::size_t mib, Pages pages, const std::string& job) {
  // Never destroyed: statics that are destroyed may be so before the exit order runs.
  static auto& parents = *new std::map<std::tuple<std::size_t, Pages, std::string>, std::unique_ptr<SizedParent>>;
  if (parents.empty()) {
    at_process_exit(0, [] { parents.clear(); });  // before children are joined: these wait for a message
  }
  auto& parent = parents[{mib, pages, mib > 0 ? "" : job}];
  if (!parent) parent = std::make_unique<SizedParent>(mib, pages);
  return *parent;
}

}  // namespace lab::start
