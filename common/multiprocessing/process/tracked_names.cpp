#include "common/multiprocessing/process/tracked_names.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <semaphore.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace lab::start {
namespace {

struct Type {
  const char* name;
  int (*unlink)(const char*);
};
constexpr std::array kTypes{Type{"shared_memory", ::shm_unlink}, Type{"semaphore", ::sem_unlink}};  // by Resource

}  // namespace

const char* TrackedNames::name_of(Resource type) { return kTypes[static_cast<std::size_t>(type)].name; }

void TrackedNames::read(std::string_view bytes) {
  for (const char byte : bytes) {
    if (byte != '\n') {
      if (line_.size() <= ResourceTracker::kLongestLine) line_ += byte;
    } else {
      line_.size() < ResourceTracker::kLongestLine ? obey(line_) : complain(line_, "... is too long a line");
      line_.clear();
    }
  }
}

void TrackedNames::obey(std::string_view line) {
  const auto first = line.find(':'), last = line.rfind(':');  // a name may hold colons
  const std::string_view command = line.substr(0, first);
  if (first == line.npos || first == last) return complain(line, "is no command");
  if (command == "PROBE") return;
  const std::string name(line.substr(first + 1, last - first - 1));
  std::size_t type = 0;
  while (type < kTypes.size() && line.substr(last + 1) != kTypes[type].name) ++type;
  if (type == kTypes.size()) return complain(line, "names no known type");
  if (name.find('\0') != name.npos) return complain(line, "holds a NUL, so it would remove another name");
  if (command == "REGISTER") {
    names_[type].insert(name);
  } else if (command == "UNREGISTER") {
    if (names_[type].erase(name) == 0) complain(line, "was not registered");
  } else {
    complain(line, "is no command");
  }
}

void TrackedNames::tell(const std::string& sentence) const {
  const std::string line = "resource tracker: " + sentence + "\n";
  [[maybe_unused]] const auto ignored = std::fwrite(line.data(), 1, line.size(), listener_);
}

void TrackedNames::complain(std::string_view line, const char* why) {
  tell(fmt::format("'{}' {}", line.substr(0, 80), why));
  end_ = ResourceTracker::protocol_error;
}

ResourceTracker::End TrackedNames::remove_all() {
  for (std::size_t type = 0; type < kTypes.size(); ++type) {
    const auto& names = names_[type];
    if (names.empty()) continue;
    end_ = ResourceTracker::leaks;
    tell(fmt::format("{} leaked {} object{} to clean up: {}", names.size(), kTypes[type].name,
                     names.size() == 1 ? "" : "s", fmt::join(names, ", ")));
    for (const std::string& name : names) {
      if (kTypes[type].unlink(name.c_str()) == 0) continue;
      tell(fmt::format("cannot remove {}: {}", name, std::strerror(errno)));
      end_ = ResourceTracker::unlink_failed;
    }
  }
  return end_;
}

}  // namespace lab::start
