#include "common/course/labs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <stdexcept>

#include "common/os/say.hpp"

namespace lab::course {
namespace {

std::string title_of(const std::filesystem::path& folder) {
  std::ifstream page(folder / "README.md");
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("# ")) continue;
    const std::string dot = " · ";
    const auto at = line.find(dot);
    return at == std::string::npos ? line.substr(2) : line.substr(at + dot.size());
  }
  return folder.filename().string();
}

}  // namespace

bool names_a_lab(const std::string& folder) {
  return folder.size() > 3 && std::isdigit(static_cast<unsigned char>(folder[0])) &&
         std::isdigit(static_cast<unsigned char>(folder[1])) && folder[2] == '_';
}

std::vector<Lab> find_labs(const House& house) {
  if (!std::filesystem::is_directory(house.labs)) {
    throw std::invalid_argument(
        fmt::format("There is no folder {}: start in the project's own folder, or name the labs with --labs DIR.",
                    house.labs.string()));
  }
  std::vector<Lab> labs;
  for (const auto& entry : std::filesystem::directory_iterator(house.labs)) {
    Lab lab;
    lab.name = entry.path().filename().string();
    if (!entry.is_directory() || !names_a_lab(lab.name)) continue;
    lab.number = std::stoi(lab.name);
    lab.title = title_of(entry.path());
    lab.executable = house.bin / lab.name;
    lab.record_file = house.records / (lab.name + ".json");
    if (std::filesystem::exists(lab.record_file)) {
      try {
        lab.record = read_record(lab.record_file);
      } catch (const std::exception& error) {
        lab.damage = error.what();
      }
    }
    labs.push_back(std::move(lab));
  }
  std::sort(labs.begin(), labs.end(), [](const Lab& a, const Lab& b) { return a.name < b.name; });
  return labs;
}

Verdicts count_verdicts(const Record& record) {
  Verdicts counts{};
  for (const auto& claim : record.claims) {
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += claim.verdict == verdict_names[i];
  }
  return counts;
}

std::string describe(const Verdicts& counts) {
  std::string text;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i]) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[i], verdict_names[i]);
  }
  return text.empty() ? "no claims" : text;
}

std::string make_target(const Lab& lab) { return fmt::format("lab-{:02}", lab.number); }

bool report_damage(const std::vector<Lab>& labs) {
  bool damaged = false;
  for (const auto& lab : labs) {
    if (lab.damage.empty()) continue;
    damaged = true;
    say("{}\nThe others are sound. Write this one anew: make {}\n", lab.damage, make_target(lab));
  }
  return damaged;
}

std::vector<std::string> read_lines(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error(fmt::format("{} cannot be read.", file.string()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(std::move(line));
  return lines;
}

}  // namespace lab::course
