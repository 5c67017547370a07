#include "counts.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <thread>

namespace lab::cores {

std::vector<std::pair<std::string, std::string>> counts(const Machine& m) {
  const auto text = [](int n) { return std::to_string(n); };
  return {{"CPUs the kernel could have", text(m.configured)},
          {"CPUs running now (os.cpu_count)", text(m.online)},
          {"hardware threads of the machine", text(m.hardware_threads)},
          {"physical cores of the machine", text(m.physical_cores)},
          {"CPUs this process may use (os.process_cpu_count)", text(m.allowed_threads())},
          {"physical cores it may use", text(m.allowed_cores())},
          {"CPUs' worth of time the quota grants", m.quota ? fmt::format("{:.2f}", *m.quota) : "no limit"},
          {"std::thread::hardware_concurrency", text(static_cast<int>(std::thread::hardware_concurrency()))},
          {"workers to use for CPU-bound work", text(m.workers())}};
}

std::string counts_table(const Machine& m) {
  std::string out;
  for (const auto& [question, answer] : counts(m))
    out += fmt::format("{}{}: {}", out.empty() ? "" : "\n", question, answer);
  return out;
}

bool counts_differ(const Machine& m) {
  for (const auto& [question, answer] : counts(m)) {
    if (answer != "no limit" && answer != std::to_string(m.online)) return true;
  }
  return false;
}

std::string drawing(const Machine& m) {
  std::map<int, std::string> packages;
  std::map<int, int> cores_of;
  for (const Core& core : m.cores) {
    std::string& line = packages[core.package];
    line += fmt::format("{}core {}:", line.empty() ? "" : "; ", cores_of[core.package]++);
    for (const int cpu : core.cpus) line += fmt::format(" cpu {}", cpu);
  }
  std::string out;
  for (const auto& [package, line] : packages)
    out += fmt::format("{}package {}: {}", out.empty() ? "" : "\n", package, line);
  return out;
}

int divisible_jobs(int least, int workers) { return (least + workers - 1) / workers * workers; }

}  // namespace lab::cores
