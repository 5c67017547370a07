// What is shown and not timed: orders of results, names of workers, a killed worker, and the timeline.
#pragma once

#include <fmt/ranges.h>

#include <ranges>

#include "experiments.hpp"

namespace lab::pool {

/// The same waits by each method: in which order do results come, and when?
inline void show_order() {
  Pool pool(with(3));
  const std::vector<int> waits{60'000, 20'000, 40'000, 10'000, 30'000, 50'000};
  fmt::print("Six tasks that wait {} us, on three workers.\n\n", fmt::join(waits, ", "));
  const auto show = [](const char* method, auto call) {
    const auto start = Clock::now();
    for (const int wait : call()) {
      fmt::print("{:<16} {:>3.0f} ms  the result of the task of {} ms\n", method,
                 std::chrono::duration<double, std::milli>(Clock::now() - start).count(), wait / 1000);
    }
  };
  show("map", [&] { return pool.map<int>("wait_us", waits, 1); });
  show("imap", [&] { return pool.imap<int>("wait_us", waits); });
  show("imap_unordered", [&] { return pool.imap_unordered<int>("wait_us", waits); });
}

/// Squares, and which worker made them.
inline void show_squares() {
  Pool pool(with(3));
  fmt::print("Squares of small numbers, on three workers: which of them made each?\n\n");
  const auto show = [](const char* method, auto lines) {
    for (const std::string& line : lines) fmt::print("{:<16} {}\n", method, line);
  };
  show("apply", std::array{pool.apply<std::string>("who", 7)});
  show("map, chunks of 2", pool.map<std::string>("who", numbers(6), 2));
  show("imap_unordered", pool.imap_unordered<std::string>("who", numbers(6)));
}

inline Seen batches_in_order() {
  Pool pool(with(core_count()));
  const Batches done = run_five_batches(pool);
  return {std::ranges::is_sorted(done.ends), fmt::format("done after {:.3f} s", fmt::join(done.ends, ", "))};
}

inline Seen death_is_reported() {
  using std::chrono::seconds;
  bool silent = false;
  {
    faithful::Pool pool(with(2));
    const auto lost = pool.apply_async<int>("die", std::tuple(0));
    const bool others = pool.apply_async<int>("square", std::tuple(3)).get(seconds(10)) == 9;
    lost.wait(std::chrono::milliseconds(200));
    silent = !lost.ready() && others;
  }
  Pool pool(with(2));
  const auto pids = pool.pids();
  try {
    pool.apply_async<int>("die", std::tuple(0)).get(seconds(10));
  } catch (const WorkerLost& error) {
    const std::string said = error.what();
    const bool names =
        said.find("signal 9") != said.npos && said.find("task die") != said.npos &&
        std::ranges::any_of(pids, [&](pid_t pid) { return said.find(fmt::format("pid {}", pid)) != said.npos; });
    const bool goes_on = pool.apply_async<int>("square", std::tuple(3)).get(seconds(10)) == 9;
    return {names && goes_on && silent,
            fmt::format("\"{}\"; CPython's pool said {}", said, silent ? "nothing" : "something")};
  }
  return {false, "the task of a killed worker had a result"};
}

/// Twelve uneven waits on three workers by each method: a track a worker.
inline void tasks_on_workers(Trace& trace) {
  Pool pool(with(3));
  std::vector<int> waits;
  for (int i = 0; i < 12; ++i) waits.push_back(1000 + i * 5 % 12 * 400);
  std::map<std::string, int> tracks;
  const auto note = [&](const char* method, const Done& done) {
    const auto [track, fresh] = tracks.emplace(done.worker, static_cast<int>(tracks.size()));
    if (fresh) trace.name_track(track->second, done.worker);
    trace.span(method, track->second, done.begin, done.end);
  };
  for (const int wait : waits) note("apply", pool.apply<Done>("noted_wait", wait));
  std::vector<AsyncResult<Done>> pending;
  for (const int wait : waits) pending.push_back(pool.apply_async<Done>("noted_wait", std::tuple(wait)));
  for (const auto& result : pending) note("apply_async", result.get());
  for (const Done& done : pool.map<Done>("noted_wait", waits, 4)) note("map, chunks of 4", done);
  for (const Done& done : pool.map<Done>("noted_wait", waits, 1)) note("map, chunks of 1", done);
  for (const Done& done : pool.imap<Done>("noted_wait", waits)) note("imap", done);
  for (const Done& done : pool.imap_unordered<Done>("noted_wait", waits)) note("imap_unordered", done);
}

}  // namespace lab::pool
