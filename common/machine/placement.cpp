#include "common/machine/placement.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace lab {
namespace {

constexpr std::array names = {"same-cpu", "sibling", "other-core"};

// One cpu_set_t ends at 1024 CPUs; eight hold the most a Linux kernel can be built for.
using CpuSet = std::array<cpu_set_t, 8>;

}  // namespace

std::vector<int> place(const Machine& m, int workers) {
  std::vector<int> cpus;
  if (workers > m.allowed_threads()) return cpus;
  for (std::size_t thread = 0; static_cast<int>(cpus.size()) < workers; ++thread) {
    for (const Core& core : m.cores) {
      if (thread < core.cpus.size() && static_cast<int>(cpus.size()) < workers) cpus.push_back(core.cpus[thread]);
    }
  }
  return cpus;
}

bool shares_cores(const Machine& m, int workers) {
  return workers > m.allowed_cores();
}

std::string name(Distance distance) {
  return names.at(static_cast<std::size_t>(distance));
}

std::optional<Distance> distance_named(const std::string& text) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) return std::nullopt;
  return static_cast<Distance>(found - names.begin());
}

std::optional<std::pair<int, int>> place_pair(const Machine& m, Distance distance) {
  const auto& cores = m.cores;
  if (distance == Distance::same_cpu) return std::pair(cores[0].cpus[0], cores[0].cpus[0]);
  if (distance == Distance::sibling) {
    const auto found = std::find_if(cores.begin(), cores.end(), [](const Core& core) { return core.cpus.size() > 1; });
    return found == cores.end() ? std::nullopt : std::optional(std::pair(found->cpus[0], found->cpus[1]));
  }
  std::optional<std::pair<int, int>> closest;
  for (int least = 8; const Core& a : cores) {
    for (const Core& b : cores) {
      const int apart = 4 * (a.package != b.package) + 2 * (a.numa != b.numa) + (a.kind != b.kind);
      if (&a == &b || apart >= least) continue;
      least = apart;
      closest = {a.cpus[0], b.cpus[0]};
    }
  }
  return closest;
}

void bind_to(std::span<const int> cpus) {
  CpuSet wanted{}, got{};
  for (int cpu : cpus) CPU_SET_S(cpu, sizeof wanted, wanted.data());
  const bool accepted = sched_setaffinity(0, sizeof wanted, wanted.data()) == 0;
  const int error = accepted ? EINVAL : errno;
  sched_getaffinity(0, sizeof got, got.data());
  // The kernel silently drops CPUs outside the cpuset.
  if (accepted && CPU_EQUAL_S(sizeof got, got.data(), wanted.data())) return;
  throw std::system_error(error, std::generic_category(), fmt::format("cannot bind to CPUs {}", fmt::join(cpus, ",")));
}

std::vector<int> bound_to() {
  CpuSet set{};
  if (sched_getaffinity(0, sizeof set, set.data()) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot read the CPU affinity");
  }
  std::vector<int> cpus;
  for (int cpu = 0; cpu < static_cast<int>(8 * sizeof set); ++cpu) {
    if (CPU_ISSET_S(cpu, sizeof set, set.data())) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace lab
