// Two sides that take turns, each in a worker of its own: how every carrier is measured.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/harness/measure.hpp"
#include "common/os/mapping.hpp"

namespace lab::pipe {

using Turn = std::function<std::uint64_t(int side)>;

/// Runs turn(side) in a worker each for side 0 and 1, once an iteration; on one CPU, or each on its core. An iteration
/// is `messages` messages: counter cpu_ns is the CPU time of both sides for one of them.
inline std::vector<Report> take_turns(benchmark::State& state, Vehicle vehicle, Distance distance, int messages,
                                      const Turn& turn) {
  std::vector<Report> reports;
  if (distance == Distance::other_core) {
    reports = team(state, vehicle, 2, turn);
  } else {
    const Team team{.size = 2, .vehicle = vehicle, .prepare = [](int) {
                      bind_to(std::array{machine().cores.front().cpus.front()});
                    }};
    while (state.KeepRunningBatch(state.max_iterations)) {
      reports = run_team(team, [turn, n = state.max_iterations](int side) {
        std::uint64_t answers = 0;
        for (benchmark::IterationCount i = 0; i < n; ++i) answers += turn(side);
        return answers;
      });
    }
    timed(1e-9 *
          static_cast<double>(std::max(reports[0].end, reports[1].end) - std::min(reports[0].begin, reports[1].begin)));
  }
  state.counters["cpu_ns"] =
      static_cast<double>(reports[0].cpu + reports[1].cpu) / static_cast<double>(state.max_iterations) / messages;
  return reports;
}

/// One message there and one back, numbered at both ends. Side 0 asks, side 1 answers with as many bytes.
template <class Carrier, Distance distance = Distance::other_core, Vehicle vehicle = Vehicle::processes>
void there_and_back(benchmark::State& state) {
  Carrier carrier;
  // Each worker has a copy of its own, made before the clock starts: that touches its pages, and to touch 16 MiB of new
  // ones costs half as much as the message. It sends from it and receives into it, as memcpy_there_and_back does, so
  // that as much memory is in use.
  const Turn turn = [&carrier, buffer = std::vector<std::byte>(static_cast<std::size_t>(state.range(0))),
                     number = std::uint8_t{0}](int side) mutable {
    const auto send = [&] {
      buffer.front() = buffer.back() = std::byte{number++};
      carrier.send(side, {reinterpret_cast<const char*>(buffer.data()), buffer.size()});
    };
    if (side == 0) send();
    const std::size_t got = carrier.receive(side, buffer);
    const std::byte expected{number++};
    const bool right = got == buffer.size() && buffer.front() == expected && buffer.back() == expected;
    if (side == 1) send();
    return std::uint64_t{right};
  };
  for (const Report& r : take_turns(state, vehicle, distance, 2, turn))
    expect(state, r.answer == static_cast<std::uint64_t>(state.max_iterations),
           "a message did not come back as it was sent");
}

/// Side 0 sends, side 1 takes: messages of 64 bytes, as fast as they can. An iteration is kStreamed of them.
constexpr int kStreamed = 1000;
template <class Carrier>
void stream(benchmark::State& state) {
  Carrier carrier;
  const auto reports = take_turns(state, Vehicle::processes, Distance::other_core, kStreamed, [&](int side) {
    std::array<char, 64> message{};
    std::uint64_t right = 0;
    for (int i = 0; i < kStreamed; ++i) {
      message[0] = static_cast<char>(i);
      if (side == 0) {
        carrier.send(side, {message.data(), message.size()});
      } else {
        const std::size_t got = carrier.receive(side, std::as_writable_bytes(std::span(message)));
        right += got == message.size() && message[0] == static_cast<char>(i);
      }
    }
    return right;
  });
  expect(state, reports[1].answer == static_cast<std::uint64_t>(kStreamed * state.max_iterations),
         "a streamed message was lost or changed");
}

/// The least two cores can do for one another: a word of memory that they write in turn.
inline void cache_line_bounce(benchmark::State& state) {
  const Shared<std::atomic<std::uint64_t>> turn(0u);
  team(state, Vehicle::processes, 2, [&](int side) -> std::uint64_t {
    std::uint64_t seen = 0;
    while (((seen = turn->load(std::memory_order_acquire)) & 1) != static_cast<std::uint64_t>(side)) {
    }
    turn->store(seen + 1, std::memory_order_release);
    return 0;
  });
}

/// The least that as many bytes cost, copied there and back.
inline void memcpy_there_and_back(benchmark::State& state) {
  std::vector<char> here(static_cast<std::size_t>(state.range(0)), 'm'), there(here.size());
  for (auto _ : state) {
    std::memcpy(there.data(), here.data(), here.size());
    benchmark::ClobberMemory();
    std::memcpy(here.data(), there.data(), here.size());
    benchmark::ClobberMemory();
  }
}

}  // namespace lab::pipe
