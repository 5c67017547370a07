#include "common/machine/cores.hpp"

#include <fmt/format.h>
#include <hwloc.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "common/machine/placement.hpp"
#include "common/machine/quota.hpp"

namespace lab {
namespace {

struct Free {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Topology = std::unique_ptr<hwloc_topology, Free>;
using Bitmap = std::unique_ptr<hwloc_bitmap_s, Free>;

Topology new_topology() {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) throw std::runtime_error("hwloc cannot start: out of memory?");
  // What nobody asks for and large machines take long over: caches, and the x86 component's visit to every CPU.
  hwloc_topology_set_cache_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE);
  hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
  // The whole machine, cpuset or not: what this process is allowed of it is found out apart.
  hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
  return Topology(topology);
}

// hwloc numbers the kinds from the most efficient to the fastest, and gives no efficiency where it cannot tell.
int kind_of(hwloc_topology_t topology, hwloc_obj_t pu) {
  const int index = hwloc_cpukinds_get_by_cpuset(topology, pu->cpuset, 0);
  int efficiency = -1;
  if (index < 0 || hwloc_cpukinds_get_info(topology, index, nullptr, &efficiency, nullptr, nullptr, 0) != 0) return 0;
  return efficiency < 0 ? 0 : hwloc_cpukinds_get_nr(topology, 0) - 1 - index;
}

std::string counted(int n, std::string_view what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

Machine describe(hwloc_topology_t topology, hwloc_const_bitmap_t allowed) {
  Machine m;
  m.packages = std::max(1, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE));
  m.numa_nodes = std::max(1, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE));
  m.hardware_threads = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
  m.configured = m.online = m.hardware_threads;
  m.physical_cores = 0;
  hwloc_obj_t last = nullptr;
  int kinds = 1;
  for (hwloc_obj_t pu = nullptr; (pu = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, pu)) != nullptr;) {
    hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, pu);
    if (core == nullptr) core = pu;  // some virtual machines describe no cores
    const hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, pu);
    if (core != last) {
      ++m.physical_cores;
      m.cores.push_back({.cpus = {},
                         .package = package != nullptr ? static_cast<int>(package->logical_index) : 0,
                         .numa = std::max(0, hwloc_bitmap_first(pu->nodeset)),
                         .kind = kind_of(topology, pu)});
      kinds = std::max(kinds, m.cores.back().kind + 1);
      last = core;
    }
    if (hwloc_bitmap_isset(allowed, pu->os_index)) m.cores.back().cpus.push_back(static_cast<int>(pu->os_index));
  }
  std::erase_if(m.cores, [](const Core& core) { return core.cpus.empty(); });
  std::stable_sort(m.cores.begin(), m.cores.end(), [](const Core& a, const Core& b) { return a.kind < b.kind; });
  for (int before = -1, dense = -1; Core & core : m.cores) {  // allowed slow cores alone are the fastest there are
    if (std::exchange(before, core.kind) != core.kind) ++dense;
    core.kind = dense;
  }

  const hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
  const char* model = hwloc_obj_get_info_by_name(package ? package : hwloc_get_root_obj(topology), "CPUModel");
  m.cpu = model != nullptr ? model : "";
  m.drawing = counted(m.packages, "package") + ", " +
              (m.numa_nodes > 1 ? counted(m.numa_nodes, "NUMA node") + ", " : "") + counted(m.physical_cores, "core") +
              (kinds > 1 ? fmt::format(" of {} kinds", kinds) : "") + ", " +
              counted(m.hardware_threads, "hardware thread");
  return m;
}

}  // namespace

int Machine::allowed_threads() const {
  int threads = 0;
  for (const Core& core : cores) threads += static_cast<int>(core.cpus.size());
  return threads;
}

int Machine::workers() const {
  const double granted = quota ? std::ceil(*quota) : allowed_cores();
  return std::max(1, static_cast<int>(std::min<double>(allowed_cores(), granted)));
}

Machine this_machine() {
  const Topology topology = new_topology();
  if (hwloc_topology_load(topology.get()) != 0) throw std::runtime_error("hwloc cannot read this machine's topology");
  const bool real = hwloc_topology_is_thissystem(topology.get()) != 0;  // false under HWLOC_SYNTHETIC and its like
  const std::vector<int> mask = bound_to();
  const Bitmap allowed(real ? hwloc_bitmap_alloc() : hwloc_bitmap_alloc_full());
  for (int cpu : mask) hwloc_bitmap_set(allowed.get(), static_cast<unsigned>(cpu));
  Machine m = describe(topology.get(), allowed.get());
  if (m.cores.empty()) {  // without /sys hwloc numbers the CPUs from 0, whatever they are
    for (int cpu : mask) m.cores.push_back({.cpus = {cpu}});
  }
  m.configured = static_cast<int>(sysconf(_SC_NPROCESSORS_CONF));
  m.online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  m.quota = cpu_quota();
  m.real = real;
  return m;
}

Machine synthetic_machine(const std::string& notation, const std::string& allowed_list, std::optional<double> quota) {
  const Topology topology = new_topology();
  const bool xml = notation.starts_with('<');
  const int set =
      xml ? hwloc_topology_set_xmlbuffer(topology.get(), notation.c_str(), static_cast<int>(notation.size()) + 1)
          : hwloc_topology_set_synthetic(topology.get(), notation.c_str());
  if (set != 0 || hwloc_topology_load(topology.get()) != 0) {
    throw std::invalid_argument(fmt::format("hwloc refuses the topology \"{}\"", notation.substr(0, 80)));
  }
  const Bitmap allowed(hwloc_bitmap_alloc());
  const std::string list = allowed_list.empty() ? "0-" : allowed_list;  // "0-" is open to the right
  const bool readable = hwloc_bitmap_list_sscanf(allowed.get(), list.c_str()) == 0;
  Machine m = describe(topology.get(), allowed.get());
  if (!readable || m.cores.empty()) {
    throw std::invalid_argument(fmt::format("\"{}\" names no CPU of \"{}\"", allowed_list, notation.substr(0, 80)));
  }
  m.quota = quota;
  m.real = false;
  return m;
}

std::string machine_id(const Machine& m) {
  std::string model = m.cpu.empty() ? (m.real ? "unknown-cpu" : "synthetic") : m.cpu;
  model.resize(std::min(model.find(" @"), model.size()));  // "@ 2.70GHz" says nothing more
  for (const std::string_view noise : {"(R)", "(TM)", "(tm)", " CPU", " Processor"}) {
    for (std::size_t at; (at = model.find(noise)) != std::string::npos;) model.erase(at, noise.size());
  }
  std::string slug;
  for (const unsigned char c : model.substr(0, 40)) {
    const bool letter = std::isalnum(c) != 0;
    if (letter || !slug.ends_with('-')) slug += letter ? static_cast<char>(std::tolower(c)) : '-';
  }
  while (slug.ends_with('-')) slug.pop_back();
  slug.erase(0, slug.find_first_not_of('-'));
  // Shape only, no CPU numbers: a container that is given other CPUs of the same kind stays the same machine.
  std::string shape = fmt::format("{}|{}", m.cpu, m.drawing);
  for (const Core& c : m.cores) shape += fmt::format("|{},{},{},{}", c.cpus.size(), c.package, c.numa, c.kind);
  std::uint32_t hash = 2166136261;  // FNV-1a: the same in every build, which std::hash need not be
  for (const char c : shape) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return fmt::format("{}-{}c-{:06x}", slug, m.allowed_cores(), hash & 0xffffff);
}

}  // namespace lab
