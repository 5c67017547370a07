// Under which conditions a result was measured: what a reader needs to compare it with another.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/machine/cores.hpp"

namespace lab {

/// Names and values in the order a reader wants them: cpu, topology, allowed_cpus, quota, kernel, compiler, flags, commit,
/// load, governor, hypervisor. What this machine does not tell is none; nothing here names the host or the user.
using Environment = std::vector<std::pair<std::string, std::optional<std::string>>>;
Environment environment(const Machine&);

/// Why timings of this build mean nothing ("built with a sanitizer", "a debug build", "running under valgrind"); none for an
/// optimised build on the bare machine.
std::optional<std::string> untimeable();

}  // namespace lab
