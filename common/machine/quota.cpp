#include "common/machine/quota.hpp"

#include <algorithm>
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

// The group this process is in, by version of control groups (2 or 1), from lines such as "0::/a/b" and
// "3:cpu,cpuacct:/a".
std::map<int, fs::path> groups(const fs::path& file) {
  std::map<int, fs::path> found;
  std::ifstream in(file);
  for (std::string id, controllers, path; std::getline(in, id, ':') && std::getline(in, controllers, ':');) {
    std::getline(in, path);
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
  const std::map<int, fs::path> own = groups(root / "proc/self/cgroup");
  std::optional<double> smallest;
  std::ifstream in(root / "proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    // "<id> <parent> <device> <root> <mount point> <options> [more]... - <type> <source> <super options>"
    std::istringstream left(line.substr(0, line.find(" - "))),
        right(line.substr(std::min(line.size(), line.find(" - ") + 3)));
    std::string skip, mount_root, mount_point, type, super_options;
    left >> skip >> skip >> skip >> mount_root >> mount_point;
    right >> type >> skip >> super_options;
    const int version = type == "cgroup2" ? 2 : type == "cgroup" && names_cpu(super_options) ? 1 : 0;
    if (!own.contains(version)) continue;
    // A container sees a part of the hierarchy: below mount_root the paths agree, elsewhere the mount point is all
    // there is.
    fs::path group = own.at(version).lexically_relative(mount_root);
    if (group.empty() || *group.begin() == "..") group = ".";
    const fs::path top = root / fs::path(mount_point).relative_path();
    for (;; group = group.parent_path()) {
      if (const auto here = limit(top / group, version); here && (!smallest || *here < *smallest)) smallest = here;
      if (group.empty() || group == ".") break;
    }
  }
  return smallest;
}

}  // namespace lab
