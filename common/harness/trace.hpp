// What happened when, from every worker at once: a bounded list of spans in shared memory, written as a Chrome trace.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "common/os/clock.hpp"
#include "common/os/mapping.hpp"

namespace lab {

class Trace {
 public:
  explicit Trace(std::size_t capacity = 20'000) : spans_(capacity) {}

  /// Adds a span on a track (a worker), from begin to end in nanoseconds of the monotonic clock. Safe from any thread or
  /// forked child. `name` must live as long as the program: a literal. Beyond the capacity spans are dropped and counted.
  void span(const char* name, int track, std::int64_t begin, std::int64_t end);
  void name_track(int track, std::string name) { tracks_.push_back({track, std::move(name)}); }

  std::size_t size() const;
  /// Chrome's trace format: complete events in microseconds since the first span; opens in Perfetto.
  std::string to_json() const;

 private:
  struct Span {
    const char* name;
    int track;
    std::int64_t begin, end;
  };
  SharedArray<Span> spans_;
  Shared<std::atomic<std::uint64_t>> used_{0u};
  std::vector<std::pair<int, std::string>> tracks_;
};

}  // namespace lab
