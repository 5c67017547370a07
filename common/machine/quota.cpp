#include "common/machine/quota.hpp"

#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace lab {
namespace {

namespace fs = std::filesystem;

// "cpu,cpuacct" contains "cpu", "cpuacct" does not.
bool names_cpu(const std::string& list) {
  return ("," + list + ",").find(",cpu,") != std::string::npos;
}

// The groups this process is in, by version of control groups, from lines such as "0::/a/b" and "3:cpu,cpuacct:/a".
std::map<int, fs::path> own_groups(const fs::path& file) {
  std::map<int, fs::path> found;
  std::ifstream in(file);
  for (std::string id, controllers, path;
       std::getline(in, id, ':') && std::getline(in, controllers, ':') && std::getline(in, path);) {
    if (id == "0" && controllers.empty()) found[2] = path;
    if (names_cpu(controllers)) found[1] = path;
  }
  return found;
}

// The limit one group sets; none when it sets none ("max", -1), and when the files are missing or make no sense.
std::optional<double> limit(const fs::path& group, int version) {
  long long quota = 0, period = 0;
  if (version == 2) {
    std::ifstream(group / "cpu.max") >> quota >> period;
  } else {
    std::ifstream(group / "cpu.cfs_quota_us") >> quota;
    std::ifstream(group / "cpu.cfs_period_us") >> period;
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<double>(quota) / static_cast<double>(period);
}

}  // namespace

std::optional<double> cpu_quota(const fs::path& root) {
  const std::map<int, fs::path> own = own_groups(root / "proc/self/cgroup");
  std::optional<double> smallest;
  std::ifstream in(root / "proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    // "<id> <parent> <device> <root> <mount point> <options> [more]... - <type> <source> <super options>"
    std::istringstream words(line);
    std::string skip, mount_root, mount_point, type, super_options;
    words >> skip >> skip >> skip >> mount_root >> mount_point;
    while (words >> skip && skip != "-") continue;
    words >> type >> skip >> super_options;
    const int version = type == "cgroup2" ? 2 : type == "cgroup" && names_cpu(super_options) ? 1 : 0;
    if (!own.contains(version)) continue;
    // A container sees part of the hierarchy: below mount_root the paths agree, elsewhere there is only the mount
    // point.
    fs::path group = own.at(version).lexically_relative(mount_root);
    if (group.empty() || *group.begin() == "..") group = ".";
    // Up to the mount point itself, which is "." or, above a named group, "".
    const fs::path top = root / fs::path(mount_point).relative_path();
    for (bool above = true; above; group = group.parent_path()) {
      above = !group.empty() && group != ".";
      if (const auto here = limit(top / group, version); here && here < smallest.value_or(*here + 1)) smallest = here;
    }
  }
  return smallest;
}

}  // namespace lab
