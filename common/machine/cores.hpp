// What this machine is, and what this process is allowed to use of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace lab {

/// A physical core, as far as this process may use it.
struct Core {
  std::vector<int> cpus;  ///< operating-system numbers of its allowed hardware threads, at least one, in topology order
  int package = 0;
  int numa = 0;  ///< its NUMA node
  int kind = 0;  ///< 0 is the fastest kind among the allowed cores, 1 the next (hybrid CPUs)
};

struct Machine {
  std::vector<Core> cores;  ///< at least one; fastest kind first, then topology order
  int configured = 1;       ///< CPUs the kernel could ever have (_SC_NPROCESSORS_CONF)
  int online = 1;           ///< CPUs running now (_SC_NPROCESSORS_ONLN)
  int packages = 1;         ///< of the whole machine, like the next three
  int numa_nodes = 1;
  int physical_cores = 1;
  int hardware_threads = 1;
  std::optional<double> quota;  ///< CPUs' worth of time the control groups grant, e.g. 1.5; none without a limit
  bool real = true;     ///< false for a synthetic topology (or under HWLOC_SYNTHETIC), on which nothing may be bound
  std::string cpu;      ///< model name; empty when unknown
  std::string drawing;  ///< the topology in one line, e.g. "1 package, 2 cores, 2 hardware threads"

  int allowed_cores() const { return static_cast<int>(cores.size()); }
  int allowed_threads() const;                                             ///< hardware threads this process may use
  int kinds() const { return cores.empty() ? 1 : cores.back().kind + 1; }  ///< kinds of core among the allowed ones
  /// Workers to use for CPU-bound work: min(allowed cores, ceil(quota)), at least 1.
  int workers() const;
};

/// This machine, seen by this process. Throws std::runtime_error with a sentence when the topology cannot be read.
Machine this_machine();

/// A machine for tests, from hwloc's synthetic notation ("package:2 core:4 pu:2") or, when it starts with '<', from its
/// XML; `allowed` is a list such as "0-3,8" (empty: all). Throws std::invalid_argument for what hwloc refuses.
Machine synthetic_machine(const std::string& topology, const std::string& allowed = "",
                          std::optional<double> quota = std::nullopt);

/// A slug for results/<machine>/: CPU model, allowed cores and a short hash of the topology; no host or user name.
/// E.g. "amd-epyc-2c-1f3a9c".
std::string machine_id(const Machine&);

}  // namespace lab
