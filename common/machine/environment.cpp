#include "common/machine/environment.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>

#include "build_info.hpp"  // written by build_info.cmake

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lab {
namespace {

std::optional<std::string> known(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::string> first_word(const std::string& file) {
  std::string word;
  std::ifstream(file) >> word;
  return known(word);
}

// "0-3,8"
std::string cpu_list(const Machine& m) {
  std::vector<int> cpus;
  for (const Core& core : m.cores) cpus.insert(cpus.end(), core.cpus.begin(), core.cpus.end());
  std::sort(cpus.begin(), cpus.end());
  std::string list;
  for (std::size_t i = 0, last = 0; i < cpus.size(); i = last + 1) {
    for (last = i; last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1;) ++last;
    list += fmt::format("{}{}", list.empty() ? "" : ",", cpus[i]);
    if (last > i) list += fmt::format("-{}", cpus[last]);
  }
  return list;
}

// What the CPU itself says of the hypervisor it runs under, e.g. "KVMKVMKVM"; none on the bare machine.
std::optional<std::string> hypervisor() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 31) != 0) {
    __cpuid(0x40000000, a, b, c, d);
    char signature[13] = {};
    for (const auto& [at, part] : {std::pair(0, b), std::pair(4, c), std::pair(8, d)})
      std::memcpy(signature + at, &part, 4);
    return known(signature).value_or("unnamed");
  }
#endif
  return first_word("/sys/hypervisor/type");
}

}  // namespace

Environment environment(const Machine& m) {
  utsname kernel{};
  uname(&kernel);
  const std::string cpu = std::to_string(m.cores.front().cpus.front());
  return {{"cpu", known(m.cpu)},
          {"topology", known(m.drawing)},
          {"allowed_cpus", cpu_list(m)},
          {"quota", m.quota ? std::optional(fmt::format("{:g}", *m.quota)) : std::nullopt},
          {"kernel", fmt::format("{} {} {}", kernel.sysname, kernel.release, kernel.machine)},
          {"compiler", known(LAB_COMPILER)},
          {"flags", known(LAB_FLAGS)},
          {"commit", known(LAB_COMMIT)},
          {"load", first_word("/proc/loadavg")},
          {"governor", first_word("/sys/devices/system/cpu/cpu" + cpu + "/cpufreq/scaling_governor")},
          {"hypervisor", hypervisor()}};
}

std::optional<std::string> untimeable() {
  if (std::string_view(LAB_FLAGS).find("-fsanitize") != std::string_view::npos) return "built with a sanitizer";
#if !defined(NDEBUG) || !defined(__OPTIMIZE__)
  return "a debug build";
#endif
  const char* preload = std::getenv("LD_PRELOAD");
  if (preload != nullptr && std::strstr(preload, "vgpreload") != nullptr) return "running under valgrind";
  return std::nullopt;
}

std::string version() {
  return *LAB_COMMIT ? LAB_VERSION " (" LAB_COMMIT ")" : LAB_VERSION;
}

}  // namespace lab
