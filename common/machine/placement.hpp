// Which CPU each worker gets, by name rather than by "CPU i".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/machine/cores.hpp"

namespace lab {

/// CPUs for a team of CPU-bound workers: one a physical core first (fastest kind first), then their further hardware
/// threads. Empty for more workers than allowed hardware threads: such a team floats, it is never wrapped.
std::vector<int> place(const Machine&, int workers);

/// True when at that team size two workers share a physical core, so that neither can run at a core's full speed.
bool shares_cores(const Machine&, int workers);

/// How far apart the two ends of a ping-pong are.
enum class Distance { same_cpu, sibling, other_core };
std::string name(Distance);
std::optional<Distance> distance_named(const std::string&);  ///< "same-cpu", "sibling", "other-core"

/// Two CPUs at that distance; none where this machine, or what is allowed of it, has no such pair. other_core stays in
/// one package and NUMA node where it can.
std::optional<std::pair<int, int>> place_pair(const Machine&, Distance);

/// Binds the calling thread to these CPUs, and checks that it took effect. Throws std::system_error.
void bind_to(std::span<const int> cpus);

/// CPUs the calling thread may run on now.
std::vector<int> bound_to();

}  // namespace lab
