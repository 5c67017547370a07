// What is run and timed: the flag in a server, by the lesson and by the machine, at both paces; a get; an item through
// a queue in the server.
#pragma once

#include <sys/socket.h>

#include "common/multiprocessing/manager/manager.hpp"
#include "labs/11_queue_sentinels/experiments.hpp"
#include "labs/12_verify_pool/experiment.hpp"
#include "manager_value.hpp"

namespace lab::manager_value {

/// A flag in a Value of the machine's Manager. A forked worker's first call connects it.
struct ManagerFlag {
  manager::Manager server;
  manager::Value value = server.make<manager::Value>(false);
  bool raised() const { return std::get<bool>(value.get()); }
  void raise() const { value.set(true); }
  void clear() const { value.set(false); }
};

/// Counts of busy_wait that make a candidate last as long as an interpreter's, and polls after which a slow flag's
/// piece ends; set before anything is measured.
inline std::uint64_t python_counts = 0, most_polls = 2000;

/// What is verified, at that pace; `most` polls of each worker.
enum class Pace { native, python };
inline verify::Verification at(Pace pace, std::uint64_t every, std::uint64_t most = never) {
  verify::Verification v = verify::chosen;
  v.counts = pace == Pace::python ? python_counts : 0;
  v.every = every;
  v.most_polls = most;
  return v;
}

/// The prime's candidates, without a flag ...
template <Pace pace>
void without_flag(benchmark::State& state) {
  NoFlag none;
  verify::search_again_and_again(state, at(pace, never), none);
}
/// ... by one worker, who has no need of one ...
inline void serially(benchmark::State& state) {
  NoFlag none;
  verify::Verification v = at(Pace::native, never);
  v.workers = 1;
  verify::search_again_and_again(state, v, none);
}
/// ... with polls every state.range(0) candidates ...
template <class Flag, Pace pace>
void polled(benchmark::State& state) {
  Flag flag;
  verify::search_again_and_again(state, at(pace, static_cast<std::uint64_t>(state.range(0)), most_polls), flag);
}
/// ... and the number at place state.range(1), to its verdict.
template <class Flag, Pace pace>
void verified(benchmark::State& state) {
  Flag flag;
  const verify::Number& number = verify::measured[static_cast<std::size_t>(state.range(1))];
  verify::Verification v = at(pace, static_cast<std::uint64_t>(state.range(0)));
  v.n = number.n;
  verify::search_again_and_again(state, v, flag, number.factor);
}

/// Two cores for a round trip: a client's and a server's; both wherever they like where there is one core.
inline std::pair<int, int> two_cores() {
  const std::vector<int> cpus = place(machine(), 2);
  return cpus.size() == 2 ? std::pair(cpus[0], cpus[1]) : std::pair(-1, -1);
}
inline void settle(int cpu) {
  if (cpu >= 0) bind_to(std::array{cpu});
}

/// An iteration is a get.
inline void manager_get(benchmark::State& state) {
  const auto [here, there] = two_cores();
  manager::Manager server({.cpu = there});
  const auto value = server.make<manager::Value>(7);
  settle(here);
  bool right = true;
  for (auto _ : state) right &= value.get() == manager::Object(7);
  expect(state, right, "another value");
}
inline void lesson_get(benchmark::State& state) {
  const auto [here, there] = two_cores();
  settle(there);  // the server stays where its maker is
  const ValueServer server(7);
  settle(here);
  Connection connection = server.connect();
  bool right = true;
  for (auto _ : state) right &= connection.get() == 7;
  expect(state, right, "another value");
}
/// Its floor: one byte there and back on a pair of Unix sockets.
inline void socket_round_trip(benchmark::State& state) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const auto [here, there] = two_cores();
  const pid_t pid = fork_child();
  if (pid == 0) {
    leave([&, &mine = ours, socket = theirs.get(), cpu = there] {
      mine.reset();
      settle(cpu);
      for (std::array<std::byte, 1> byte; read_full(socket, byte) == 1;) write_all(socket, byte);
    });
  }
  ChildProcess echo(pid);
  theirs.reset();
  settle(here);
  std::array<std::byte, 1> byte{};
  for (auto _ : state) {
    write_all(ours.get(), byte);
    if (read_full(ours.get(), byte) != 1) throw std::runtime_error("the other side of the round trip has ended");
  }
}

/// A Queue in the server, as lab 11's `through` wants its queues.
struct ServersQueue {
  manager::Manager server;
  manager::Queue queue = server.make<manager::Queue>();
  void put(const std::string& item) const { queue.put(item); }
  std::string get() const { return std::get<std::string>(queue.get()); }
};

/// The whole protocol once, for --number.
template <class Flag>
std::uint64_t find_with(const verify::Verification& v) {
  Flag flag;
  return verify::find_factor(v, flag);
}

}  // namespace lab::manager_value
