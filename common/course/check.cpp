#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>

#include "common/course/course.hpp"

namespace lab::course {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<std::string>;

/// What each folder of common/ may include of it: itself and what lies below.
const std::map<std::string, std::set<std::string>> layers{
    {"kernels", {"kernels"}},
    {"os", {"os"}},
    {"machine", {"machine", "os"}},
    {"multiprocessing", {"multiprocessing", "machine", "os"}},
    {"harness", {"harness", "machine", "os", "kernels"}},
    {"course", {"course", "harness", "machine", "os", "kernels"}}};

/// Libraries that one file alone may know, so that replacing one stays a change of one file; by how their headers
/// begin.
constexpr const char* kept_apart[] = {"<nlohmann/", "<CLI/", "<hwloc"};

const std::set<std::string> top_level{
    ".ci",      ".clang-format", ".clang-tidy",     ".gitignore", "CMakeLists.txt", "LICENSE", "CMakePresets.json",
    "Makefile", "README.md",     "CONTRIBUTING.md", "common",     "docs",           "labs",    "plots"};

constexpr std::size_t main_lines = 200, header_lines = 150, included_lines = 1500;

/// The folders and the file name of a path: {"common", "os", "team.hpp"}.
std::vector<std::string> pieces(const fs::path& path) {
  return {path.begin(), path.end()};
}

/// "02_gil" for whatever lies in that folder; empty elsewhere.
std::string lab_of(const std::string& path) {
  for (const auto& folder : pieces(fs::path(path).parent_path())) {
    if (names_a_lab(folder)) return folder;
  }
  return "";
}

/// What an #include line names, with its quotes or angle brackets; empty for other lines.
std::string included(const std::string& line) {
  const auto begin = line.find_first_of("\"<");
  if (!line.starts_with("#include") || begin == std::string::npos) return "";
  return line.substr(begin, line.find_first_of("\">", begin + 1) + 1 - begin);
}

/// The anchor GitHub gives a heading: small letters, digits, - and _; blanks become -; other punctuation goes.
std::string anchor_of(std::string heading) {
  for (auto at = heading.find("]("); at != std::string::npos; at = heading.find("](")) {  // of a link, the text stays
    heading.erase(at, heading.find(')', at) - at);
  }
  std::string anchor;
  for (std::size_t i = 0; i < heading.size(); ++i) {
    const auto byte = static_cast<unsigned char>(heading[i]);
    if (byte < 0x80) {
      if (std::isalnum(byte) || byte == '-' || byte == '_') anchor += static_cast<char>(std::tolower(byte));
      if (byte == ' ') anchor += '-';
      continue;
    }
    const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    if (byte != 0xC2 && byte != 0xE2) anchor += heading.substr(i, length);  // these begin punctuation: · — … and so on
    i += length - 1;
  }
  return anchor;
}

std::string without_code(std::string line) {
  for (auto at = line.find('`'); at != std::string::npos; at = line.find('`')) {
    const auto end = line.find('`', at + 1);
    line.erase(at, end == std::string::npos ? 1 : end + 1 - at);
  }
  return line;
}

/// Targets of the links in a line of Markdown, [text](target "title") and [name]: target, as far as they are relative.
Files relative_links(const std::string& line) {
  Files targets;
  if (const auto at = line.find("]: "); line.starts_with('[') && at != std::string::npos)
    targets.push_back(line.substr(at + 3));
  for (auto at = line.find("]("); at != std::string::npos; at = line.find("](", at + 2)) {
    targets.push_back(line.substr(at + 2, line.find_first_of(" )", at) - at - 2));
  }
  std::erase_if(targets, [](const auto& target) { return target.find(':') != std::string::npos; });
  return targets;
}

class Inspector {
 public:
  Inspector(fs::path root, Files files) : root_(std::move(root)), files_(std::move(files)) {}

  void labs() {
    std::set<std::string> names;
    for (const auto& file : files_) {
      if (file.starts_with("labs/") && !lab_of(file).empty()) names.insert(lab_of(file));
    }
    for (const auto& name : names) {
      const auto folder = "labs/" + name + "/";
      for (const auto& page :
           {folder + "README.md", folder + "AFTER.md", folder + "main.cpp", "plots/" + name + ".py"}) {
        if (!has(page)) broken("{} is missing: every lab has one.", page);
      }
      if (std::none_of(files_.begin(), files_.end(),
                       [&](const auto& file) { return file.starts_with(folder) && file.ends_with("_test.cpp"); })) {
        broken("{} has no test: add <idea>_test.cpp.", folder);
      }
      if (!has(folder + "main.cpp")) continue;
      const auto lines = read_lines(root_ / folder / "main.cpp");
      const auto text = fmt::format("{}", fmt::join(lines, "\n"));
      if (text.find(".id =") == std::string::npos) broken("{}main.cpp states no claim (.id =).", folder);
      if (text.find(".floors") == std::string::npos) broken("{}main.cpp names no floor (.floors).", folder);
      if (lines.size() > main_lines) {
        broken("{}main.cpp has {} lines, and {} are the limit: move the idea to a file of its own.", folder,
               lines.size(), main_lines);
      }
      const auto included = lines_included_from_common(folder);
      if (included > included_lines) {
        broken("{} includes {} lines from common/, and {} are the limit: they are read, too.", folder, included, included_lines);
      }
      most_included_ = std::max(most_included_, included);
    }
  }

  void code() {
    std::map<std::string, std::set<std::string>> users;
    for (const auto& file : files_) {
      if (!file.ends_with(".hpp") && !file.ends_with(".cpp")) continue;
      const auto path = pieces(file);
      const auto lines = read_lines(root_ / file);
      const bool common = path.front() == "common", test = file.ends_with("_test.cpp");
      if (common && file.ends_with(".hpp") && lines.size() > header_lines) {
        broken("{} has {} lines, and {} are the limit for a header in common/.", file, lines.size(), header_lines);
      }
      for (const auto& line : lines) {
        const auto target = included(line);
        if (target.empty()) continue;
        points_down(file, path, target.substr(1, target.size() - 2));
        for (const std::string library : kept_apart) {
          const bool makes_machines = test && library == "<hwloc";  // the test of cores does
          if (target.starts_with(library) && !makes_machines) users[library.substr(1)].insert(file);
        }
      }
    }
    for (const auto& [library, by] : users) {
      if (by.size() > 1) broken("{} is included by {}: one file alone may know it.", library, fmt::join(by, ", "));
    }
    found.notes.push_back(fmt::format("A lab includes up to {} lines from common/; {} are the limit.", most_included_, included_lines));
  }

  void links() {
    for (const auto& file : files_) {
      if (!file.ends_with(".md")) continue;
      for (const auto& line : page(file).prose) {
        for (const auto& target : relative_links(line)) {
          const auto hash = target.find('#');
          const auto path = target.substr(0, hash);
          const auto to = path.empty() ? file : (fs::path(file).parent_path() / path).lexically_normal().string();
          if (!fs::exists(root_ / to)) {
            broken("{} links to {}, which is not there.", file, target);
          } else if (hash != std::string::npos && to.ends_with(".md") &&
                     !page(to).anchors.contains(target.substr(hash + 1))) {
            broken("{} links to {}, but {} has no such heading.", file, target, to);
          }
        }
      }
    }
  }

  /// docs/claims.md lists the claims of the labs it has a section for: all of them, and no others.
  void claims() {
    const std::string list = "docs/claims.md", section = "## Lab ", id = ".id = \"";
    if (!has(list)) return;
    std::map<std::string, std::set<std::string>> listed, stated;  // by the lab's two digits
    std::string lab;
    for (const auto& line : read_lines(root_ / list)) {
      if (line.starts_with(section)) listed[lab = line.substr(section.size(), 2)];
      if (line.starts_with("| `")) listed[lab].insert(line.substr(3, line.find('`', 3) - 3));
    }
    for (const auto& file : files_) {
      if (lab_of(file).empty() || !file.ends_with("/main.cpp")) continue;
      auto& ids = stated[lab_of(file).substr(0, 2)];
      for (const auto& line : read_lines(root_ / file)) {
        const auto at = line.find(id);
        if (at != std::string::npos) ids.insert(line.substr(at + id.size(), line.find('"', at + id.size()) - at - id.size()));
      }
    }
    for (const auto& [number, ids] : stated) {
      if (!listed.contains(number)) {
        found.notes.push_back(fmt::format("{} has no section for lab {}.", list, number));
        continue;
      }
      for (const auto& name : ids) {
        if (!listed[number].contains(name)) broken("Lab {} states the claim {}, which {} does not list.", number, name, list);
      }
      for (const auto& name : listed[number]) {
        if (!ids.contains(name)) broken("{} lists {}, which lab {} does not state.", list, name, number);
      }
    }
  }

  void at_top_level(const Files& tracked) {
    std::set<std::string> strangers;
    for (const auto& file : tracked) {
      if (!top_level.contains(pieces(file).front())) strangers.insert(pieces(file).front());
    }
    for (const auto& name : strangers)
      broken("{} has no place at the top level: move it to a folder that is there.", name);
  }

  Inspection found;

 private:
  /// Lines of all headers of common/ that the folder's code includes, directly or through one another.
  std::size_t lines_included_from_common(const std::string& folder) const {
    std::vector<std::string> open;
    for (const auto& file : files_) {
      if (file.starts_with(folder) && !file.ends_with("_test.cpp")) open.push_back(file);
    }
    std::set<std::string> seen;
    std::size_t count = 0;
    while (!open.empty()) {
      const auto lines = read_lines(root_ / open.back());
      if (open.back().starts_with("common/")) count += lines.size();
      open.pop_back();
      for (const auto& line : lines) {
        const auto target = included(line);
        if (!target.starts_with("\"common/")) continue;
        const auto header = target.substr(1, target.size() - 2);
        if (seen.insert(header).second && has(header)) open.push_back(header);
      }
    }
    return count;
  }

  template <typename... Values>
  void broken(fmt::format_string<Values...> sentence, Values&&... values) {
    found.violations.push_back(fmt::format(sentence, std::forward<Values>(values)...));
  }

  bool has(const std::string& file) const { return std::find(files_.begin(), files_.end(), file) != files_.end(); }

  void points_down(const std::string& file, const std::vector<std::string>& path, const std::string& target) {
    const auto to = pieces(target);
    const auto own = lab_of(file), other = lab_of(target);
    if (path.front() == "common") {
      const auto layer = layers.find(path[1]);
      const bool up = !other.empty() || (to.front() == "common" && layer != layers.end() && to.size() > 2 &&
                                         !layer->second.contains(to[1]));
      if (up) broken("{} includes {}: nothing points up.", file, target);
    } else if (!own.empty()) {
      if (other > own) broken("{} includes {}: a lab uses the mechanisms of lower-numbered labs only.", file, target);
      if (target.starts_with("common/course/"))
        broken("{} includes {}: labs know nothing of the course program.", file, target);
    }
  }

  struct Page {
    std::vector<std::string> prose;  ///< lines outside code, without what stands in `code`
    std::set<std::string> anchors;
  };

  const Page& page(const std::string& file) {
    const auto [at, fresh] = pages_.try_emplace(file);
    if (!fresh) return at->second;
    bool fenced = false;
    std::map<std::string, int> seen;
    for (const auto& line : read_lines(root_ / file)) {
      const auto text = std::min(line.find_first_not_of(' '), line.size());
      if (line.compare(text, 3, "```") == 0) fenced = !fenced;
      if (fenced) continue;
      const auto marks = line.find_first_not_of('#');
      if (marks != std::string::npos && marks > 0 && marks <= 6 && line[marks] == ' ') {
        const auto slug = anchor_of(line.substr(marks + 1));
        const int earlier = seen[slug]++;
        at->second.anchors.insert(earlier ? fmt::format("{}-{}", slug, earlier) : slug);
      }
      at->second.prose.push_back(without_code(line));
    }
    return at->second;
  }

  std::size_t most_included_ = 0;
  fs::path root_;
  Files files_;
  std::map<std::string, Page> pages_;
};

/// What `git ls-files` answers in `root`; none outside a checkout, or in a copy that a checkout around it ignores.
std::optional<Files> git_files(const fs::path& root, const std::string& which) {
  std::string quoted;
  for (const char c : root.string()) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  const auto command = fmt::format("git -C '{}' -c core.quotePath=false ls-files {} 2>/dev/null", quoted, which);
  std::unique_ptr<FILE, int (*)(FILE*)> git(popen(command.c_str(), "r"), pclose);
  if (!git) return std::nullopt;
  Files files;
  char line[4096];
  while (std::fgets(line, sizeof line, git.get())) {
    files.emplace_back(line, std::string(line).find_last_not_of('\n') + 1);
    if (!fs::exists(root / files.back())) files.pop_back();  // deleted, but not committed yet
  }
  if (pclose(git.release()) != 0 || files.empty()) return std::nullopt;
  return files;
}

Files files_below(const fs::path& root) {
  Files files;
  for (fs::recursive_directory_iterator at(root), end; at != end; ++at) {
    const auto name = at->path().filename().string();
    if (at->is_directory() && (name.starts_with(".") || name.starts_with("build") || name == "results")) {
      at.disable_recursion_pending();
    } else if (at->is_regular_file()) {
      files.push_back(fs::relative(at->path(), root).string());
    }
  }
  return files;
}

}  // namespace

Inspection inspect(const fs::path& root, const Files& files, const Files& tracked) {
  Inspector inspector(root, files);
  inspector.labs();
  inspector.code();
  inspector.links();
  inspector.claims();
  inspector.at_top_level(tracked);
  return inspector.found;
}

int check(const fs::path& root) {
  if (!fs::is_directory(root / "labs")) {
    throw std::invalid_argument(
        fmt::format("There is no folder {}: name the labs with --labs DIR.", (root / "labs").string()));
  }
  const auto tracked = git_files(root, "");
  const auto files = tracked ? *git_files(root, "--cached --others --exclude-standard") : files_below(root);
  const auto [violations, notes] = inspect(root, files, tracked.value_or(Files{}));
  if (!tracked) fmt::print("Not a git checkout: what may stand at the top level was not checked.\n");
  for (const auto& note : notes) fmt::print("{}\n", note);
  for (const auto& sentence : violations) fmt::print("{}\n", sentence);
  fmt::print("{} files, {} rules broken\n", files.size(), violations.size());
  return violations.empty() ? 0 : 1;
}

}  // namespace lab::course
