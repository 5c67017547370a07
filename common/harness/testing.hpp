// For the harness's own tests: folders, small disks.
#pragma once

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace lab::testing {

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// An empty folder under TMPDIR, removed with all that is in it.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "lab-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path, error);
  }
  Folder(const Folder&) = delete;
  /// Names of what is in it, hidden files too.
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
      found.push_back(entry.path().lexically_relative(path));
    return found;
  }
  std::filesystem::path path;
};

/// A disk of so many bytes mounted on the folder, for this process and its children alone. Takes root; `mounted` says
/// so.
class SmallDisk {
 public:
  SmallDisk(const std::filesystem::path& where, std::size_t bytes) : where_(where) {
    const std::string size = "size=" + std::to_string(bytes);
    mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
              ::mount("tmpfs", where_.c_str(), "tmpfs", 0, size.c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted) ::umount2(where_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  bool make_read_only() const { return ::mount("none", where_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0; }
  bool mounted = false;

 private:
  std::filesystem::path where_;
};

}  // namespace lab::testing
