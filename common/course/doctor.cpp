#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>
#include <thread>

#include "common/course/course.hpp"
#include "common/kernels/busy_wait.hpp"
#include "common/machine/environment.hpp"
#include "common/machine/placement.hpp"

namespace lab::course {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

/// A line a finding: "ok", "note" (good to know) or "warn" (timings suffer); below it what a person may run.
void finding(const char* word, const char* subject, const std::string& text, const std::string& command = "") {
  fmt::print("{:<4}  {:<14} {}\n", word, subject, text);
  if (!command.empty()) fmt::print("{:22}{}\n", "", command);
}

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

bool succeeds(const std::string& command) {
  return std::system(fmt::format("{} </dev/null >/dev/null 2>&1", command).c_str()) == 0;
}

/// Steps each CPU's spinner makes in half a second, all of them spinning at once.
std::vector<double> spin(const std::vector<int>& cpus) {
  std::vector<double> steps(cpus.size());
  std::atomic<std::size_t> ready{0};
  std::vector<std::jthread> spinners;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    spinners.emplace_back([&, i] {
      try {
        bind_to(std::span(&cpus[i], 1));
      } catch (const std::exception&) {  // where binding is forbidden they float, which a shared core shows as well
      }
      ++ready;
      while (ready < cpus.size()) std::this_thread::yield();
      const auto end = Clock::now() + std::chrono::milliseconds(500);
      double done = 0;
      for (; Clock::now() < end; done += 1) busy_wait(1000);
      steps[i] = done;
    });
  }
  spinners.clear();  // joins
  return steps;
}

/// Clock ticks of all CPUs since boot: user nice system idle iowait irq softirq steal.
std::array<double, 8> cpu_ticks() {
  std::istringstream line(first_line("/proc/stat"));
  std::string cpu;
  line >> cpu;
  std::array<double, 8> ticks{};
  for (auto& value : ticks) line >> value;
  return ticks;
}

void parallelism(const Machine& machine) {
  const auto cpus = place(machine, machine.allowed_cores());
  const auto before = cpu_ticks();
  const double alone = spin({cpus.front()})[0];
  const auto together = spin(cpus);
  const auto after = cpu_ticks();
  const double total = std::accumulate(together.begin(), together.end(), 0.0) / alone;
  const auto text = fmt::format("{} cores at once do {:.2f} times the work of one alone", cpus.size(), total);
  const bool full = total >= 0.9 * static_cast<double>(cpus.size());
  finding(full ? "ok" : "warn", "parallelism", text + (full ? "" : ": shared, limited, or slowed by heat"),
          full ? "" : "see what else runs: top    or measure on a quieter machine");
  const double elapsed =
      std::accumulate(after.begin(), after.end(), 0.0) - std::accumulate(before.begin(), before.end(), 0.0);
  const double steal = 100 * (after[7] - before[7]) / std::max(1.0, elapsed);
  finding(steal > 1 ? "warn" : "ok", "steal",
          fmt::format("{:.1f} % of the time taken by the host during the probe", steal));
}

void limits(const Machine& machine) {
  const bool part = machine.allowed_threads() < machine.online;
  finding(part ? "note" : "ok", "allowed",
          fmt::format("{} cores, {} hardware threads; {} CPUs online", machine.allowed_cores(),
                      machine.allowed_threads(), machine.online),
          part ? "for all of them, start without taskset or cpuset" : "");
  if (!machine.quota) return finding("ok", "quota", "none");
  const bool tight = *machine.quota < machine.allowed_cores();
  finding(tight ? "warn" : "ok", "quota",
          fmt::format("{:.2f} CPUs for {} cores", *machine.quota, machine.allowed_cores()),
          tight ? fmt::format("docker run --cpus={}    or lift cpu.max", machine.allowed_cores()) : "");
}

void frequency() {
  const fs::path cpus = "/sys/devices/system/cpu";
  std::string governor;
  bool mixed = false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cpus, error)) {
    const auto here = first_line(entry.path() / "cpufreq/scaling_governor");
    if (here.empty()) continue;
    mixed = mixed || (!governor.empty() && here != governor);
    governor = here;
  }
  if (governor.empty()) {
    finding("note", "governor", "not visible here; a virtual machine's host decides");
  } else if (governor == "performance" && !mixed) {
    finding("ok", "governor", governor);
  } else {
    finding("warn", "governor", mixed ? "differs between CPUs" : governor + ": CPUs change their speed while measured",
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor");
  }
  const auto no_turbo = first_line(cpus / "intel_pstate/no_turbo"), boost = first_line(cpus / "cpufreq/boost");
  if (no_turbo.empty() && boost.empty()) return finding("note", "turbo", "not visible here");
  const bool on = no_turbo == "0" || boost == "1";
  finding(on ? "note" : "ok", "turbo", on ? "on: one busy core may run faster than all at once" : "off",
          !on                ? ""
          : no_turbo.empty() ? "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"
                             : "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo");
}

void load(const Machine& machine) {
  std::istringstream line(first_line("/proc/loadavg"));
  double one = 0, other = 0;
  std::string running;
  line >> one >> other >> other >> running;
  const int others = std::atoi(running.c_str()) - 1;  // this process is one of them
  const bool busy = one > 0.2 * machine.allowed_cores() || others > 0;
  finding(busy ? "warn" : "ok", "load",
          fmt::format("{:.2f} over the last minute, {} other tasks running now", one, others),
          busy ? "see which: top" : "");
}

void memory() {
  std::ifstream in("/proc/meminfo");
  std::string key;
  double kib = 0;
  while (in >> key >> kib && key != "MemAvailable:") in.ignore(100, '\n');
  finding(kib < 512 * 1024 ? "warn" : "ok", "memory", fmt::format("{:.0f} MiB available", kib / 1024));
  auto pages = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  const auto open = pages.find('['), close = pages.find(']');
  if (close != std::string::npos) pages = pages.substr(open + 1, close - open - 1);
  finding("note", "huge pages", "transparent ones: " + (pages.empty() ? "not visible here" : pages),
          pages == "never" ? "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled" : "");
  struct statvfs shared {};
  if (statvfs("/dev/shm", &shared) != 0) return finding("warn", "/dev/shm", "missing: no shared memory by name");
  const double mib = static_cast<double>(shared.f_frsize) / (1 << 20);
  const double size = mib * static_cast<double>(shared.f_blocks), free = mib * static_cast<double>(shared.f_bavail);
  finding(free < 256 ? "warn" : "ok", "/dev/shm", fmt::format("{:.0f} MiB, {:.0f} MiB free", size, free),
          free < 256 ? "docker run --shm-size=1g    or sudo mount -o remount,size=1g /dev/shm" : "");
}

void kernel_limits() {
  const fs::path proc = "/proc/sys";
  finding("note", "pipes", fmt::format("at most {} bytes each", first_line(proc / "fs/pipe-max-size")));
  const auto messages = first_line(proc / "fs/mqueue/msg_max"), bytes = first_line(proc / "fs/mqueue/msgsize_max");
  finding("note", "queues",
          messages.empty() ? "no POSIX message queues in this kernel"
                           : fmt::format("POSIX: {} messages of {} bytes", messages, bytes));
  const auto paranoid = first_line(proc / "kernel/perf_event_paranoid");
  const bool closed = paranoid.empty() || std::atoi(paranoid.c_str()) > 2;
  finding(closed ? "note" : "ok", "perf events",
          paranoid.empty() ? "not offered by this kernel" : "paranoid level " + paranoid,
          closed && !paranoid.empty() ? "sudo sysctl kernel.perf_event_paranoid=1" : "");
}

void host(const Machine& machine) {
  for (const auto& [name, value] : environment(machine)) {
    if (name != "hypervisor") continue;
    finding(value ? "note" : "ok", "virtual",
            value ? *value + ": a CPU may run slow for seconds unseen" : "no hypervisor seen");
  }
}

void clock_source() {
  const auto source = first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  constexpr int reads = 10'000;
  const auto begin = Clock::now();
  for (int i = 1; i < reads; ++i) Clock::now();
  const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
  const bool slow = took.count() / reads > 250;
  finding(slow ? "warn" : "ok", "clock",
          fmt::format("{}, {:.0f} ns a reading", source.empty() ? "source not visible" : source, took.count() / reads),
          slow ? "a source that needs a system call: see available_clocksource beside it" : "");
}

void programs() {
  const auto wanted = [](const char* subject, const char* program, const char* package) {
    const bool there = succeeds(fmt::format("command -v {}", program));
    finding(there ? "ok" : "note", subject, there ? std::string(program) + " is there" : "missing: its lab is skipped",
            there ? "" : fmt::format("sudo apt-get install {}", package));
  };
  wanted("Redis", "redis-check-rdb", "redis-tools");  // the server itself, by another name and without a service
  wanted("MPI", "mpirun", "openmpi-bin libopenmpi-dev");
  for (const char* python : {"python3", "/usr/bin/python3"}) {
    if (succeeds(fmt::format("{} -c 'import matplotlib'", python)))
      return finding("ok", "figures", std::string(python) + " has matplotlib");
  }
  finding("warn", "figures", "no Python with matplotlib: no figures", "sudo apt-get install python3-matplotlib");
}

}  // namespace

int doctor() {
  const auto machine = this_machine();
  fmt::print("{}: {}\n", machine_id(machine), machine.drawing);
  parallelism(machine);
  limits(machine);
  load(machine);
  frequency();
  host(machine);
  clock_source();
  memory();
  kernel_limits();
  programs();
  fmt::print("Nothing was changed. warn: timings suffer; note: good to know.\n");
  return 0;
}

}  // namespace lab::course
