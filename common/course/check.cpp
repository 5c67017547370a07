#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <stdexcept>

#include "common/course/course.hpp"

namespace lab::course {
namespace {

namespace fs = std::filesystem;
using Sentences = std::vector<std::string>;
using Files = std::map<std::string, std::vector<std::string>>;  ///< lines by path, relative to the project

/// What lies below each folder of common/, and may be included there.
const std::map<std::string, std::set<std::string>> below{{"kernels", {}},
                                                         {"os", {}},
                                                         {"machine", {"os"}},
                                                         {"multiprocessing", {"machine", "os"}},
                                                         {"harness", {"machine", "os", "kernels"}},
                                                         {"course", {"harness", "machine", "os", "kernels"}}};

constexpr std::size_t main_lines = 200, header_lines = 150, lesson_lines = 300, code_files = 10;
/// A faithful Pool does not fit into less.
constexpr std::pair longer_lesson{"labs/06_pool_map/pool.hpp", 400u};

Files read_files(const fs::path& root) {
  Files files;
  const auto read = [&](const fs::path& file) {
    for (const char* kind : {".hpp", ".cpp", ".md", ".py"}) {
      if (file.extension() == kind) files[fs::relative(file, root).string()] = read_lines(file);
    }
  };
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_regular_file()) read(entry);
  }
  for (const char* folder : {"common", "docs", "labs", "plots"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.is_regular_file()) read(entry);
    }
  }
  return files;
}

bool is_code(const std::string& file) { return file.ends_with(".hpp") || file.ends_with(".cpp"); }
/// What is read for the lab's idea: neither a test nor the exercise.
bool is_lesson(const std::string& file) {
  return is_code(file) && !file.ends_with("_test.cpp") && file.find("/exercise/") == std::string::npos;
}

bool mentions(const std::vector<std::string>& lines, const std::string& words) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const auto& line) { return line.find(words) != std::string::npos; });
}

/// "02_gil" for whatever path leads through that folder; empty for others.
std::string lab_of(const std::string& path) {
  for (const auto& folder : fs::path(path).parent_path()) {
    if (names_a_lab(folder)) return folder;
  }
  return "";
}

/// Pages, claims, floor, test and figure of each lab, and how much there is to read.
void parts_of_labs(const Files& files, Sentences& broken) {
  std::map<std::string, std::vector<std::string>> labs;
  for (const auto& [file, lines] : files) {
    if (file.starts_with("labs/") && !lab_of(file).empty()) labs[lab_of(file)].push_back(file);
  }
  for (const auto& [name, own] : labs) {
    const auto folder = fmt::format("labs/{}/", name), main = folder + "main.cpp";
    for (const auto& page : {folder + "README.md", folder + "AFTER.md", main, fmt::format("plots/{}.py", name)}) {
      if (!files.contains(page)) broken.push_back(fmt::format("{} is missing: every lab has one.", page));
    }
    if (std::none_of(own.begin(), own.end(), [](const auto& file) { return file.ends_with("_test.cpp"); }))
      broken.push_back(folder + " has no test: add <idea>_test.cpp.");
    if (files.contains(main) && !mentions(files.at(main), ".id ="))
      broken.push_back(main + " states no claim (.id =).");
    if (files.contains(main) && !mentions(files.at(main), ".floors"))
      broken.push_back(main + " names no floor (.floors).");
    const auto count = static_cast<std::size_t>(std::count_if(own.begin(), own.end(), is_lesson));
    if (count > code_files) {
      broken.push_back(fmt::format("{} shows {} code files, and {} are the limit: what a student need not read belongs to common/.",
                                   folder, count, code_files));
    }
  }
}

void lengths(const Files& files, Sentences& broken) {
  for (const auto& [file, lines] : files) {
    std::size_t limit = lines.size();
    const bool for_tests = fs::path(file).filename().string().starts_with("test");
    if (file.starts_with("common/") && file.ends_with(".hpp") && !for_tests) limit = header_lines;
    if (file.starts_with("labs/") && is_lesson(file)) {
      limit = file.ends_with("/main.cpp") ? main_lines : file == longer_lesson.first ? longer_lesson.second : lesson_lines;
    }
    if (lines.size() > limit)
      broken.push_back(fmt::format("{} has {} lines, and {} are the limit here.", file, lines.size(), limit));
  }
}

void layers(const Files& files, Sentences& broken) {
  static const std::regex include(R"re(^#include "([^"]+)")re"), common(R"(^common/([^/]+)/)");
  for (const auto& [file, lines] : files) {
    if (!is_code(file)) continue;
    for (const auto& line : lines) {
      std::smatch found, from, to;
      if (!line.starts_with("#include") || !std::regex_search(line, found, include)) continue;
      const std::string target = found[1], lab = lab_of(target);
      const bool to_common = std::regex_search(target, to, common);
      if (std::regex_search(file, from, common)) {
        const auto may = below.find(from[1]);
        const bool up = to_common && to[1] != from[1] && (may == below.end() || !may->second.contains(to[1]));
        if (up || !lab.empty()) broken.push_back(fmt::format("{} includes {}: nothing points up.", file, target));
      } else if (lab > lab_of(file)) {
        broken.push_back(fmt::format("{} includes {}: a lab uses lower-numbered labs only.", file, target));
      } else if (to_common && to[1] == "course") {
        broken.push_back(fmt::format("{} includes {}: labs know nothing of the course program.", file, target));
      }
    }
  }
}

/// [text](target "title") and [name]: target, outside code and as far as they lead to files.
void links(const fs::path& root, const Files& files, Sentences& broken) {
  static const std::regex code("`[^`]*`"), link(R"((?:\]\(|^\[[^\]]*\]: )([^)\s#:]+)(?=[)\s#]|$))");
  for (const auto& [file, lines] : files) {
    if (!file.ends_with(".md")) continue;
    bool fenced = false;
    for (const auto& line : lines) {
      if (line.find("```") != std::string::npos) fenced = !fenced;
      if (fenced) continue;
      const auto prose = std::regex_replace(line, code, "");
      for (std::sregex_iterator at(prose.begin(), prose.end(), link), end; at != end; ++at) {
        const std::string target = (*at)[1];
        if (!fs::exists(root / fs::path(file).parent_path() / target))
          broken.push_back(fmt::format("{} links to {}, which is not there.", file, target));
      }
    }
  }
}

}  // namespace

Sentences inspect(const fs::path& root) {
  const auto files = read_files(root);
  Sentences broken;
  parts_of_labs(files, broken);
  lengths(files, broken);
  layers(files, broken);
  links(root, files, broken);
  return broken;
}

int check(const fs::path& root) {
  if (!fs::is_directory(root / "labs")) {
    throw std::invalid_argument(
        fmt::format("There is no folder {}: name the labs with --labs DIR.", (root / "labs").string()));
  }
  const auto broken = inspect(root);
  for (const auto& sentence : broken) fmt::print("{}\n", sentence);
  fmt::print("{} rules broken\n", broken.size());
  return broken.empty() ? 0 : 1;
}

}  // namespace lab::course
