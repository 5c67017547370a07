// The CPU quota a container or service manager has put on this process.
#pragma once

#include <filesystem>
#include <optional>

namespace lab {

/// The smallest quota/period over this process's control group and all its parents, in CPUs (1.5 = one and a half), version
/// 2 (cpu.max) and version 1 (cpu.cfs_quota_us, cpu.cfs_period_us); none without a limit or where nothing can be read.
/// The mounts come from `root`/proc/self/mountinfo, the group from `root`/proc/self/cgroup, the files from below `root`.
std::optional<double> cpu_quota(const std::filesystem::path& root = "/");

}  // namespace lab
