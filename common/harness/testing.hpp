// For the harness's own tests: folders, small disks, a strict reader of JSON.
#pragma once

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
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

/// Reads JSON as RFC 8259 has it: no NaN, no trailing comma, nothing after the end.
class JsonReader {
 public:
  static bool accepts(std::string_view text) {
    JsonReader reader{text};
    return reader.value(0) && (reader.space(), reader.rest_.empty());
  }

 private:
  explicit JsonReader(std::string_view text) : rest_(text) {}
  void space() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_[0]) != std::string_view::npos)
      rest_.remove_prefix(1);
  }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  bool digits() {
    const std::size_t before = rest_.size();
    while (!rest_.empty() && std::isdigit(static_cast<unsigned char>(rest_[0]))) rest_.remove_prefix(1);
    return rest_.size() < before;
  }
  bool number() {
    take("-");
    if (!take("0") && !digits()) return false;
    if (take(".") && !digits()) return false;
    if (take("e") || take("E")) return (take("+") || take("-"), digits());
    return true;
  }
  bool string() {
    if (!take("\"")) return false;
    while (!rest_.empty() && rest_[0] != '"') {
      if (static_cast<unsigned char>(rest_[0]) < ' ') return false;
      if (rest_[0] == '\\' &&
          (rest_.size() < 2 || std::string_view("\"\\/bfnrtu").find(rest_[1]) == std::string_view::npos))
        return false;
      rest_.remove_prefix(rest_[0] == '\\' ? 2 : 1);
    }
    return take("\"");
  }
  template <class Element>
  bool list(std::string_view open, std::string_view close, Element element) {
    if (!take(open)) return false;
    for (space(); !take(close); space()) {
      if (!element()) return false;
      space();
      if (take(",")) {
        if (space(); rest_.starts_with(close)) return false;
      } else if (!rest_.starts_with(close)) {
        return false;
      }
    }
    return true;
  }
  bool value(int depth) {
    space();
    if (rest_.empty() || depth > 50) return false;
    if (rest_[0] == '{') return list("{", "}", [&] { return string() && (space(), take(":")) && value(depth + 1); });
    if (rest_[0] == '[') return list("[", "]", [&] { return value(depth + 1); });
    if (rest_[0] == '"') return string();
    return take("true") || take("false") || take("null") || number();
  }
  std::string_view rest_;
};

}  // namespace lab::testing
