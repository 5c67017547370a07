// The variants: searches that poll the flag at an interval and a pace, and round trips at a fixed distance from the server.
#pragma once

#include "common/machine/placement.hpp"
#include "labs/12_verify_pool/experiment.hpp"
#include "labs/14_raw_value/raw_value.hpp"
#include "redis_flag.hpp"
#include "service.hpp"

namespace lab::redis {

using Polled = RedisFlag<PolledFlag>;
using Told = RedisFlag<ToldFlag>;
using RawByte = sharedctypes::Flag<sharedctypes::RawValue<std::uint8_t>>;

// ---- searches -------------------------------------------------------------------------------------------------------

/// What a candidate costs, and what the names of variants at that pace end in.
struct Pace {
  const char *suffix, *words;
  std::uint64_t counts;             ///< of busy_wait a candidate
  std::uint64_t most_candidates;    ///< of a worker in one search
  std::vector<std::int64_t> every;  ///< the intervals measured
};
/// Native and Python's, or that of --pace. Of a search at Python's pace a part is enough: its candidates last longer.
inline std::vector<Pace> paces(const Options& options) {
  const std::vector<std::int64_t> all{1, 10, 100, 1000, 10'000, 100'000, 1'000'000};
  std::vector<Pace> both;
  if (verify::pace != "python") both.push_back({"", "native pace", 0, never, all});
  if (verify::pace != "native")
    both.push_back({"_python", "Python's pace", verify::python_counts(),
                    options.full()    ? 3'000'000u
                    : options.quick() ? 50'000u
                                      : 300'000u,
                    all});
  for (Pace& pace : both) {
    if (options.quick()) pace.every = {1, 1000, 100'000};
    if (!options.quick() && !options.full() && pace.counts) pace.every = {1, 100, 1000, 100'000};
    const auto own = static_cast<std::int64_t>(std::min(verify::chosen.every, never / 2));
    if (std::find(pace.every.begin(), pace.every.end(), own) == pace.every.end()) pace.every.push_back(own);
    std::sort(pace.every.begin(), pace.every.end());
  }
  return both;
}

/// Polls of a worker in one search: enough for a measurement, and bounded, for each is a message there and back.
inline std::uint64_t most_polls(const Options& options) {
  return options.full() ? 20'000 : options.quick() ? 100 : 800;
}

/// How a worker's piece is searched at that pace, cut to as many polls.
inline verify::Verification search_at(const Pace& pace, std::uint64_t every, std::uint64_t polls) {
  verify::Verification v = verify::chosen;
  v.every = every;
  v.counts = pace.counts;
  v.most_polls = std::max<std::uint64_t>(1, std::min(polls, pace.most_candidates / every));
  return v;
}

/// Declares the variant `name` with the pace's suffix, at these intervals. A flag is made for each measurement.
template <class MakeFlag>
Family* declare_search(const std::string& name, const Pace& pace, const std::vector<std::int64_t>& intervals,
                       std::uint64_t polls, MakeFlag make_flag) {
  auto* family = benchmark::RegisterBenchmark((name + pace.suffix).c_str(), [=](benchmark::State& state) {
    auto flag = make_flag();
    verify::search_again_and_again(state, search_at(pace, static_cast<std::uint64_t>(state.range(0)), polls), flag);
  });
  family->ArgName("every");
  for (const std::int64_t every : intervals) family->Arg(every);
  return family;
}

/// A flag in Redis. The workers are on all CPUs, and the server on whichever the kernel finds for it.
template <class Flag>
Flag beside_the_workers(const std::string& way) {
  if (service().own) service().own->run_on(bound_to());
  return Flag(address(way));
}

/// Of one pace: no flag, a RawValue, the flag in Redis by each way, and the one that tells.
inline void declare_searches(const Pace& pace, const Options& options) {
  benchmark::RegisterBenchmark((std::string("no_flag") + pace.suffix).c_str(), [pace](benchmark::State& state) {
    NoFlag no_flag;
    verify::search_again_and_again(state, search_at(pace, pace.most_candidates, 1), no_flag);
  })->Apply(busy);
  declare_search("raw_value", pace, pace.every, never, [] { return RawByte(); })->Apply(busy);
  const std::uint64_t polls = most_polls(options);
  const std::vector<std::int64_t> two{1, 1000};
  for (const std::string& way : ways()) {
    declare_search("redis_" + way, pace, way == ways().front() || options.full() ? pace.every : two, polls, [way] {
      return beside_the_workers<Polled>(way);
    })->Apply(blocking);
  }
  // A look that finds no message is no round trip: there can be more of them.
  declare_search("redis_told", pace, options.full() ? pace.every : two, 50 * polls, [way = ways().front()] {
    return beside_the_workers<Told>(way);
  })->Apply(blocking);
}

// ---- round trips ----------------------------------------------------------------------------------------------------

/// The client here, the server on another core, where there is one and the server is ours. The measurement that follows
/// binds this process anew.
inline void place_apart() {
  const auto pair = place_pair(machine(), Distance::other_core);
  if (!pair || !service().own) return;
  bind_to(std::array{pair->first});
  service().own->run_on(std::array{pair->second});
}

inline void gets(benchmark::State& state, const std::string& way) {
  place_apart();
  Polled flag(address(way));
  flag.clear();
  Connection connection(address(way));
  const int depth = static_cast<int>(state.range(0));
  bool right = true;
  for (auto _ : state) right = get_pipelined(connection, flag.key(), depth) == depth && right;
  expect(state, right, "a GET did not get the 0 that was set");
}

/// The floor of a GET: the shortest command and its answer, by write and read and nothing else, on the same socket.
inline void bare_ping(benchmark::State& state, const std::string& way) {
  place_apart();
  Connection connection(address(way));
  constexpr std::string_view ping = "*1\r\n$4\r\nPING\r\n", pong = "+PONG\r\n";
  std::array<char, 64> answer{};
  bool right = true;
  for (auto _ : state) {
    right = ::write(connection.socket(), ping.data(), ping.size()) == static_cast<ssize_t>(ping.size()) && right;
    const ssize_t n = ::read(connection.socket(), answer.data(), answer.size());
    right = n == static_cast<ssize_t>(pong.size()) && right;
  }
  expect(state, right && std::string_view(answer.data(), pong.size()) == pong, "PING was not answered with PONG");
}

inline void incr(benchmark::State& state, const std::string& way) {
  place_apart();
  Counter counter(address(way), new_key("counter"));
  counter.clear();
  std::int64_t added = 0, last = 0;
  for (auto _ : state) last = counter.add_by_incr(), ++added;
  expect(state, last == added, "INCR has miscounted");
}

inline void acquire_and_release(benchmark::State& state, const std::string& way) {
  place_apart();
  Lock lock(address(way), new_key("lock"));
  bool right = true;
  for (auto _ : state) right = lock.try_acquire() && lock.release() && right;
  expect(state, right, "nobody else wanted the lock, and it was not to be had");
}

inline void declare_round_trips(const Options& options) {
  const auto declare = [](const std::string& name, void (*run)(benchmark::State&, const std::string&),
                          const std::string& way) {
    return benchmark::RegisterBenchmark(name.c_str(), [run, way](benchmark::State& state) { run(state, way); });
  };
  for (const std::string& way : ways()) {
    auto* family = declare("get_" + way, gets, way)->ArgName("depth");
    for (const int depth : {1, 2, 4, 8, 16, 32, 64, 128}) {
      if (options.full() || depth == 1 || depth == 128 || (!options.quick() && depth == 16)) family->Arg(depth);
    }
    family->Apply(blocking);
  }
  const std::string way = ways().front();
  declare("bare_ping", bare_ping, way)->Apply(blocking);
  declare("incr", incr, way)->Apply(blocking);
  declare("lock", acquire_and_release, way)->Apply(blocking);
}

}  // namespace lab::redis
