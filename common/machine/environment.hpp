// Under which conditions a result was measured: what a reader needs to compare it with another.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/machine/cores.hpp"

namespace lab {

/// Names and values in this order: cpu, topology, allowed_cpus, quota, kernel, compiler, flags, commit, load (over the
/// last minute), governor, hypervisor. What the machine does not tell is none; nothing names the host or the user.
using Environment = std::vector<std::pair<std::string, std::optional<std::string>>>;
Environment environment(const Machine&);

/// Why timings of this build mean nothing ("built with a sanitizer", "a debug build", "running under valgrind"); none
/// for an optimised build on the bare machine.
std::optional<std::string> untimeable();

/// The course's version and the commit it was built from: "1.0 (1a2b3c4)", "1.0" outside a repository.
std::string version();

}  // namespace lab
