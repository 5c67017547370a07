// What a resource tracker holds: the names it is told of, and what it makes of the bytes that tell it.
#pragma once

#include <array>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>

#include "common/multiprocessing/process/resource_tracker.hpp"

namespace lab::start {

class TrackedNames {
 public:
  explicit TrackedNames(std::FILE* listener = stderr) : listener_(listener) {}

  /// Follows the lines as they become whole. One that makes no sense is said and remembered, never followed.
  void read(std::string_view bytes);
  const std::set<std::string>& of(Resource type) const { return names_[static_cast<std::size_t>(type)]; }
  /// Removes what is left from the system, with one warning a type. The exit status of the tracker.
  ResourceTracker::End remove_all();

  /// As a line has it: "shared_memory".
  static const char* name_of(Resource type);

 private:
  void obey(std::string_view line);
  void tell(const std::string& sentence) const;
  void complain(std::string_view line, const char* why);

  std::FILE* listener_;
  std::string line_;  // as much as has come of it; of a longer one than is allowed, the beginning
  std::array<std::set<std::string>, 2> names_;  // by Resource
  ResourceTracker::End end_ = ResourceTracker::clean;
};

}  // namespace lab::start
