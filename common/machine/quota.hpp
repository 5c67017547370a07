// The CPU quota a container or service manager has put on this process.
#pragma once

#include <filesystem>
#include <optional>

namespace lab {

/// The smallest quota/period over this process's control group and all its parents, in CPUs (1.5 = one and a half):
/// version 2 (cpu.max) and version 1 (cpu.cfs_*); none without a limit or where nothing can be read. All files are
/// taken from below `root`: proc/self/mountinfo, proc/self/cgroup, and the mounts they name.
std::optional<double> cpu_quota(const std::filesystem::path& root = "/");

}  // namespace lab
