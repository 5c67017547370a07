// What is seen and not timed: what stops for good and what a killed process costs, each trap beside its repair.
#pragma once

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "common/multiprocessing/queue/feeder.hpp"
#include "experiments.hpp"

namespace lab::queues {

/// Runs `body` in a child, which is killed at the deadline: true when it ended by itself, as it should. Whatever it has
/// started ends with it.
inline bool ends_within(std::chrono::milliseconds time, const std::function<void()>& body) {
  const pid_t child = fork_child();
  if (child == 0) leave(body);
  const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!handle) throw_errno("cannot watch a child");
  const bool ended = wait_for(handle.get(), POLLIN, Clock::now() + time);
  if (!ended) ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
  int status = 0;
  wait_for_child(child, &status);
  return ended && status == 0;
}

inline pid_t start_worker(const std::function<void()>& body) {
  const pid_t child = fork_child();
  if (child != 0) return child;
  leave([&] {
    body();
    start::run_exit_order();  // as the workers of multiprocessing end: they wait for their feeders
  });
}

// ---- facts ----------------------------------------------------------------------------------------------------------

/// Counts the primes by the protocol, once.
template <class Jobs, class Results>
std::size_t count_by(int workers) {
  Jobs jobs;
  Results results;
  std::vector<pid_t> pids;
  const auto part = [&](int who) {
    return run_with_sentinels<std::uint64_t, std::uint64_t>(
        who, workers, jobs, results, each_number(),
        [](std::uint64_t n) { return is_prime(n) ? Message<std::uint64_t>(n) : std::nullopt; });
  };
  for (int who = 1; who <= workers; ++who) pids.push_back(start_worker([&, who] { part(who); }));
  const std::size_t found = part(0).size();
  for (const pid_t pid : pids) wait_for_child(pid);
  return found;
}

inline Seen nothing_is_lost() {
  using Number = Message<std::uint64_t>;
  const std::size_t counts[] = {
      count_by<SimpleQueue<Number>, SimpleQueue<Number>>(many), count_by<Queue<Number>, Queue<Number>>(many),
      count_by<JoinableQueue<Number>, Queue<Number>>(many), count_by<Packets<Number>, Packets<Number>>(many),
      count_by<Ring<Number>, Ring<Number>>(many)};
  return {.holds = std::ranges::all_of(counts, [](std::size_t n) { return n == primes_among_them; }),
          .what = fmt::format(
              "{} of {} primes by SimpleQueue, {} by Queue, {} by JoinableQueue, {} by packets, {} by the ring",
              counts[0], primes_among_them, counts[1], counts[2], counts[3], counts[4])};
}

/// All is fed before anything is collected, through channels that hold 64 KiB: with and without a feeder.
inline Seen feeder_repairs() {
  constexpr int kItems = 20'000;
  const auto feed_then_drain = [](auto& jobs, auto& results) {
    const pid_t worker = start_worker([&] {
      while (const auto item = jobs.get()) results.put(item);
    });
    for (int i = 0; i < kItems; ++i) jobs.put(i);
    for (int i = 0; i < kItems; ++i) results.get();
    jobs.put(std::nullopt);
    wait_for_child(worker);
  };
  const bool bare = ends_within(std::chrono::milliseconds(1000), [&] {
    SimpleQueue<Message<int>> jobs, results;
    feed_then_drain(jobs, results);
  });
  const bool fed = ends_within(std::chrono::seconds(30), [&] {
    Queue<Message<int>> jobs;
    SimpleQueue<Message<int>> results;
    feed_then_drain(jobs, results);
  });
  return {.holds = !bare && fed,
          .what = fmt::format("{} items fed and then collected: without a feeder {}, with one {}", kItems,
                              bare ? "all came" : "nothing moved any more and it was killed after 1 s",
                              fed ? "all came" : "it was still waiting after 30 s")};
}

/// A consumer is killed with an item in its hand; another takes over.
inline Seen a_killed_consumer_costs_one() {
  constexpr int kItems = 1000, kFatal = 500;
  Queue<Message<int>> jobs;
  queue::PacketQueue results;  // a put has arrived when it returns: in Queue it may still wait for the victim's feeder
  const auto consume = [&](bool dies) {
    return start_worker([&, dies] {
      while (const auto item = jobs.get()) {
        if (dies && *item == kFatal) ::raise(SIGKILL);
        results.put(*item);
      }
    });
  };
  std::vector<int> times(kItems);
  const auto take = [&] { ++times.at(static_cast<std::size_t>(results.get<int>(std::chrono::seconds(30)))); };
  const pid_t victim = consume(true);
  for (int i = 0; i < kItems; ++i) jobs.put(i);
  for (int i = 0; i < kFatal; ++i) take();
  wait_for_child(victim);
  const pid_t other = consume(false);
  for (int i = kFatal + 1; i < kItems; ++i) take();
  jobs.put(std::nullopt);
  wait_for_child(other);
  const auto lost = std::ranges::count(times, 0), once = std::ranges::count(times, 1);
  return {.holds = lost == 1 && once == kItems - 1 && times[kFatal] == 0,
          .what = fmt::format("of {} items {} came once and {} never: the one in its hand", kItems, once, lost)};
}

// ---- traps, each beside its repair ----------------------------------------------------------------------------------

/// --show join: a child that has put more than a pipe holds is joined before anybody gets.
inline void show_join_before_drain() {
  const auto say_how = [](const char* what, bool ended) {
    fmt::print("{:<62} {}\n", what, ended ? "ends" : "waits for ever (killed after 1 s)");
  };
  const auto joined = [](std::size_t bytes, bool drain_first) {
    return ends_within(std::chrono::milliseconds(1000), [=] {
      Queue<std::string> queue;
      const pid_t child = start_worker([&] { queue.put(std::string(bytes, 'x')); });
      if (drain_first) queue.get();
      wait_for_child(child);
    });
  };
  fmt::print(
      "A child puts, and ends; its parent joins it. A child's end waits for its feeder, and the feeder for the "
      "pipe.\n\n");
  say_how("60,000 bytes, join, then get: fits into the pipe", joined(60'000, false));
  say_how("1 MiB, join, then get", joined(1 << 20, false));
  say_how("1 MiB, get, then join: the repair", joined(1 << 20, true));
}

/// --show killed_reader: a consumer is killed while it waits for an item.
inline void show_killed_reader() {
  fmt::print("A consumer waits in get, and is killed. Then an item is put: does another consumer get it?\n\n");
  const auto after_a_kill = [](auto& queue, auto get) {
    const pid_t victim = start_worker([&] { get(queue, std::chrono::seconds(60)); });
    const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, victim, 0)));
    wait_for(handle.get(), POLLIN, Clock::now() + std::chrono::milliseconds(200));  // it does not end: it waits by now
    ::kill(victim, SIGKILL);
    wait_for_child(victim);
    queue.put(1);
    try {
      return fmt::format("got {}", get(queue, std::chrono::seconds(1)));
    } catch (const std::runtime_error& error) {
      return fmt::format("{}, although an item is there", error.what());
    }
  };
  Queue<int> faithful;
  queue::PacketQueue packets;
  queue::RingQueue ring(16, 64);
  const auto sturdy = [](auto& queue, auto timeout) { return queue.template get<int>(timeout); };
  fmt::print("Queue, whose lock died with its holder       {}\n",
             after_a_kill(faithful, [](auto& queue, auto timeout) { return queue.get(timeout); }));
  fmt::print("PacketQueue, which needs no lock to get      {}\n", after_a_kill(packets, sturdy));
  fmt::print("RingQueue, whose lock is robust              {}\n", after_a_kill(ring, sturdy));
}

/// Twelve items of a few milliseconds, two workers: who sends which message when.
inline void messages_over_time(Trace& trace) {
  constexpr int kWorkers = 2;
  Queue<Message<std::uint64_t>> jobs, results;
  const std::vector<std::uint64_t> items(12, 2'000'000);
  const auto part = [&](int who) {
    run_with_sentinels<std::uint64_t, std::uint64_t>(
        who, kWorkers, jobs, results, items,
        [](std::uint64_t counts) {
          benchmark::DoNotOptimize(busy_wait(counts));
          return Message<std::uint64_t>(counts);
        },
        [&](const char* what, std::int64_t since) { trace.span(what, who, since, now_ns()); });
  };
  std::vector<pid_t> pids;
  trace.name_track(0, "parent");
  for (int who = 1; who <= kWorkers; ++who) {
    trace.name_track(who, fmt::format("worker {}", who));
    pids.push_back(start_worker([&, who] { part(who); }));
  }
  part(0);
  for (const pid_t pid : pids) wait_for_child(pid);
}

}  // namespace lab::queues
