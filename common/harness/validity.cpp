#include "common/harness/validity.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>

#include "common/kernels/busy_wait.hpp"
#include "common/machine/placement.hpp"

namespace lab {
namespace {

constexpr double kSpin = 0.3e-3;  // seconds of one yardstick
constexpr double kSlow = 1.05;    // a yardstick this much over the best is not full speed

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); }

// CPU seconds of a process and its finished children, from /proc/<pid>/stat: fields 14 to 17 of proc(5).
double cpu_of(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text(std::istreambuf_iterator<char>(file), {});
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));  // the name may hold spaces
  const std::vector<std::string> words(std::istream_iterator<std::string>(fields), {});
  double ticks = 0;
  for (std::size_t i = 11; i < 15 && i < words.size(); ++i) ticks += std::stod(words[i]);
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// CPU seconds of this process, its finished children and its living ones (servers a lab has started).
double own_cpu() {
  rusage self{}, children{};
  ::getrusage(RUSAGE_SELF, &self);
  ::getrusage(RUSAGE_CHILDREN, &children);
  double total =
      seconds(self.ru_utime) + seconds(self.ru_stime) + seconds(children.ru_utime) + seconds(children.ru_stime);
  std::ifstream living("/proc/thread-self/children");
  for (int pid; living >> pid;) total += cpu_of(pid);
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

const Machine& machine() {
  static const Machine seen = this_machine();
  return seen;
}

Yardstick::Yardstick() {
  bind_to(std::vector{machine().cores.front().cpus.front()});
  counts_ = 100'000;
  double best = spin();
  for (int i = 0; i < 100; ++i) best = std::min(best, spin());
  counts_ = static_cast<std::uint64_t>(static_cast<double>(counts_) * kSpin / best);
  best_.assign(static_cast<std::size_t>(2 * machine().kinds()), 0);
  for (int i = 0; i < 100; ++i) learn({Pace{.group = 0, .seconds = spin()}});
}

double Yardstick::spin(clockid_t clock) const {
  const double start = seconds_of(clock);
  busy_wait(counts_);
  return seconds_of(clock) - start;
}

double Yardstick::at_speed(int group) const {
  const double best = best_[group];
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(10);
  double last = spin();
  while (best > 0 && last > kSlow * best && Clock::now() < deadline) last = spin();
  return last;
}

int Yardstick::group_of(int cpu, bool shared) const {
  for (const Core& core : machine().cores) {
    if (std::count(core.cpus.begin(), core.cpus.end(), cpu)) return 2 * core.kind + shared;
  }
  return shared;
}

void Yardstick::learn(const std::vector<Pace>& paces) {
  for (const Pace& pace : paces) {
    double& best = best_[pace.group];
    if (best == 0 || pace.seconds < best) best = pace.seconds;
  }
}

double Yardstick::speed(const Pace& pace) const { return best_[pace.group] / pace.seconds; }

ForeignLoad::ForeignLoad() { sample(); }

void ForeignLoad::sample() {
  samples_.push_back({Clock::now(), busy_cpu() - own_cpu()});
  if (samples_.size() > 1000) samples_.erase(samples_.begin(), samples_.begin() + 500);
}

double ForeignLoad::share() const {
  const Sample& last = samples_.back();
  for (std::size_t i = samples_.size() - 1; i-- > 0;) {
    const std::chrono::duration<double> window = last.when - samples_[i].when;
    if (window >= std::chrono::milliseconds(400)) {
      return std::max(0.0, (last.foreign_seconds - samples_[i].foreign_seconds) / window.count());
    }
  }
  return 0;
}

void decide_validity(Raw& raw, const Yardstick& yardstick) {
  Measurement& m = raw.measurement;
  std::vector<std::pair<double, int>> speeds;  // and the CPU
  for (const Pace& pace : raw.paces) speeds.emplace_back(yardstick.speed(pace), pace.cpu);
  std::sort(speeds.begin(), speeds.end());
  // Of a placed team each worker counts, for the slowest holds up the rest. A floating one shares its slow moments.
  const auto [speed, slowest] = speeds[raw.oversubscribed ? speeds.size() / 2 : 0];
  m.invalid.clear();
  if (!raw.wrong.empty()) {
    m.invalid = "a wrong answer";
  } else if (raw.kind == Kind::busy && !raw.oversubscribed && raw.on_cpu < 0.95) {
    m.invalid = fmt::format("a worker had its CPU only {:.0f} % of the time: other load, or a quota", 100 * raw.on_cpu);
  } else if (raw.moved) {
    m.invalid = "a worker was moved off its CPU";
  } else if ((raw.kind == Kind::blocking || raw.oversubscribed) && raw.foreign > 0.05) {
    m.invalid = fmt::format("other processes used {:.0f} % of a CPU", 100 * raw.foreign);
  } else if (speed < 1 / kSlow) {
    m.invalid = fmt::format("CPU {} ran at {:.0f} % of its speed: a shared core, or heat", slowest, 100 * speed);
  }
  m.counters["valid"] = m.invalid.empty();
  m.counters["speed"] = speed;
  m.counters["on_cpu"] = raw.on_cpu;
}

}  // namespace lab
