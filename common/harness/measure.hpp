// One measurement: a benchmark's loop run once, by a team of workers or by the main thread, with the evidence of what
// the machine can have cost it.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>
#include <vector>

#include "common/harness/interval.hpp"
#include "common/machine/placement.hpp"
#include "common/os/team.hpp"

namespace lab {

/// What BENCHMARK declares, under the one name that all versions of the library have for it.
using Family = std::remove_pointer_t<decltype(benchmark::RegisterBenchmark(
    "", static_cast<void (*)(benchmark::State&)>(nullptr)))>;

/// What a variant's workers do. busy: they compute all the time, so each has a CPU to itself where there are enough.
/// blocking: they wait a good part of the time, start others, or share CPUs.
enum class Kind { busy, blocking };

/// Runs the benchmark's loop in `size` workers: each calls work(worker) state.max_iterations times after a common
/// start. The measured time is that from the first worker's start to the last one's end; the CPU time is the workers' and
/// that of servers, children of this process that live on. Returns the workers' reports, answers summed over the iterations. A team is placed one worker a core; one larger than the hardware threads floats.
/// Throws WorkerError when a worker dies, throws or takes over 60 s.
std::vector<Report> team(benchmark::State& state, Vehicle vehicle, int size,
                         std::function<std::uint64_t(int worker)> work);

/// For a variant that times itself, because what it measures is a part of what it does: the seconds of all iterations
/// together.
void timed(double seconds);

/// Marks the benchmark's answer as wrong unless it is right: the lab then ends with status 1, whatever the timing.
void expect(benchmark::State& state, bool right, const std::string& otherwise);

/// The share of a team's time that others left to its workers. Who computes on a CPU of its own (`each_for_itself`)
/// delays only itself, and the worst counts; what kept it from starting with the first is lost like any other wait.
/// Workers that wait for each other pass their delays on, and these add up. None where nobody tells: the kernel does not,
/// and such workers have not lost all that they did not compute.
std::optional<double> kept_by(const std::vector<Report>& reports, bool each_for_itself);

/// For the rounds, not for labs: runs one variant once with that many iterations. Throws what the benchmark throws.
/// `seconds`: how long the measurement took, all iterations together.
struct Measured {
  Measurement measurement;
  double seconds = 0;
};
Measured measure(Family* family, const std::string& variant, Kind kind, std::int64_t iterations,
                 const Yardstick& yardstick, ForeignLoad& foreign);

}  // namespace lab
