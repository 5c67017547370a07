#include "common/multiprocessing/process/registry.hpp"

#include <map>

namespace lab::start {
namespace {

std::map<std::string, Entry>& entries() {
  static auto& map = *new std::map<std::string, Entry>;  // filled before main; a daemon thread reads it beyond its end
  return map;
}

}  // namespace

bool register_entry(const std::string& name, Entry entry) {
  const auto [at, fresh] = entries().try_emplace(name, entry);
  if (!fresh && at->second != entry) throw std::invalid_argument("two entries are named '" + name + "'");
  return true;
}

Entry find_entry(const std::string& name) {
  const auto found = entries().find(name);
  if (found != entries().end()) return found->second;
  std::string known;
  for (const auto& [other, entry] : entries()) known += (known.empty() ? "" : ", ") + other;
  throw UnknownEntry("no entry is registered as '" + name + "'; there are: " + (known.empty() ? "none" : known));
}

}  // namespace lab::start
