#include "common/harness/yardstick.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/kernels/busy_wait.hpp"
#include "common/machine/placement.hpp"

namespace lab {
namespace {

constexpr double kSpin = 0.06e-3;            // seconds
constexpr std::uint64_t kPerPace = 100'000;  // counts a pace is given for

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); }

// CPU seconds of a living process, and of its children that it has reaped (ticks: the kernel tells no better).
double cpu_of(int pid) {
  clockid_t clock{};
  if (::clock_getcpuclockid(pid, &clock) != 0) return 0;
  double total = seconds_of(clock);
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text(std::istreambuf_iterator<char>(file), {});
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));  // the name may hold spaces
  std::string word;
  for (int i = 3; fields >> word && i <= 17; ++i) {  // fields 16 and 17 of proc(5): cutime, cstime
    if (i >= 16) total += std::strtod(word.c_str(), nullptr) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  return total;
}

// CPU seconds of all living descendants of a process, its threads' children included.
double cpu_of_descendants(const std::string& process) {
  double total = 0;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/" + process + "/task", error)) {
    std::ifstream children(thread.path() / "children");
    for (int pid; children >> pid;) total += cpu_of(pid) + cpu_of_descendants(std::to_string(pid));
  }
  return total;
}

// CPU seconds the CPUs allowed to us were not idle, stolen time included: of each "cpuN user nice system idle iowait irq
// softirq steal".
double busy_cpu() {
  const std::vector<int> allowed = allowed_cpus();
  std::ifstream stat("/proc/stat");
  double ticks = 0;
  for (std::string line; std::getline(stat, line) && line.starts_with("cpu");) {
    std::istringstream fields(line.substr(3));
    int cpu = -1;
    double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
    if (line[3] == ' ' || !(fields >> cpu) || !std::count(allowed.begin(), allowed.end(), cpu)) continue;
    fields >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
    ticks += user + nice + system + irq + softirq + steal;
  }
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  for (const Core& core : machine().cores) cpus.insert(cpus.end(), core.cpus.begin(), core.cpus.end());
  return cpus;
}

int kind_of(int cpu) {
  for (const Core& core : machine().cores) {
    if (std::count(core.cpus.begin(), core.cpus.end(), cpu)) return core.kind;
  }
  return 0;
}

const Machine& machine() {
  static const Machine seen = this_machine();
  return seen;
}

Yardstick::Yardstick() {
  double best = 1;
  for (int i = 0; i < 20; ++i) {
    const double start = seconds_of(CLOCK_MONOTONIC);
    busy_wait(kPerPace);
    best = std::min(best, seconds_of(CLOCK_MONOTONIC) - start);
  }
  counts_ = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(kPerPace * kSpin / best));
}

Pace Yardstick::pace() const {
  std::array<double, 5> spins{};
  for (double& spin : spins) {
    const double start = seconds_of(CLOCK_MONOTONIC);
    busy_wait(counts_);
    spin = seconds_of(CLOCK_MONOTONIC) - start;
  }
  std::nth_element(spins.begin(), spins.begin() + 2, spins.end());
  const int cpu = ::sched_getcpu();
  return {cpu, kind_of(cpu), spins[2] * kPerPace / static_cast<double>(counts_)};
}

Pace Yardstick::steady_pace() const {
  Pace last = pace();
  for (int i = 1; i < 8; ++i) {
    const Pace now = pace();
    if (std::abs(now.spin - last.spin) < 0.02 * last.spin) return now;
    last = now;
  }
  return last;
}

std::vector<Pace> visit_cores(const Yardstick& yardstick) {
  std::vector<Pace> paces;
  const std::vector<Core>& cores = machine().cores;
  const std::size_t visits = std::min<std::size_t>(cores.size(), 16);
  for (std::size_t i = 0; i < visits; ++i) {
    const int cpu = cores[i * cores.size() / visits].cpus.front();
    bind_to(std::array{cpu});
    paces.push_back(yardstick.steady_pace());
  }
  bind_to(allowed_cpus());
  return paces;
}

double own_cpu_seconds() {
  rusage reaped{};
  ::getrusage(RUSAGE_CHILDREN, &reaped);
  return seconds_of(CLOCK_PROCESS_CPUTIME_ID) + seconds(reaped.ru_utime) + seconds(reaped.ru_stime) +
         cpu_of_descendants("self");
}

double servers_cpu_seconds() { return cpu_of_descendants("self"); }

ForeignLoad::ForeignLoad() { sample(); }

void ForeignLoad::sample() {
  samples_.push_back({Clock::now(), busy_cpu() - own_cpu_seconds()});
  if (samples_.size() > 1000) samples_.erase(samples_.begin(), samples_.begin() + 500);
}

double ForeignLoad::share() const {
  const Sample& last = samples_.back();
  for (std::size_t i = samples_.size() - 1; i-- > 0;) {
    const std::chrono::duration<double> window = last.when - samples_[i].when;
    if (window >= std::chrono::milliseconds(200)) {
      return std::max(0.0, (last.foreign_seconds - samples_[i].foreign_seconds) / window.count());
    }
  }
  return 0;
}

}  // namespace lab
