#include <fmt/format.h>

#include <algorithm>

#include "common/course/course.hpp"
#include "common/harness/report.hpp"
#include "common/os/say.hpp"

namespace lab::course {
namespace {

/// "1.004x [1.001, 1.008]"; a number that was not measured leaves its place out.
std::string interval(std::optional<double> middle, std::optional<double> low, std::optional<double> high,
                     const char* unit) {
  std::string text = middle ? fmt::format("{:.4g}{}", *middle, unit) : "";
  if (low && high) text += fmt::format("{}[{:.4g}, {:.4g}]", text.empty() ? "" : " ", *low, *high);
  return text;
}

std::string estimate(const ClaimResult& claim) {
  return interval(claim.estimate, claim.low, claim.high, claim.unit.c_str());
}

/// A row of a Markdown table: what would end a cell or the row is made harmless.
std::string row(std::initializer_list<std::string> cells) {
  std::string text = "|";
  for (const auto& cell : cells) {
    text += ' ';
    for (const char c : cell) text += c == '|' ? "\\|" : c == '\n' ? " " : std::string(1, c);
    text += " |";
  }
  return text + "\n";
}

/// The newest record: its environment stands at the top, the others say only where theirs differed.
const Record* newest(const std::vector<Lab>& labs) {
  const Record* found = nullptr;
  for (const auto& lab : labs) {
    if (lab.record && (!found || lab.record->date > found->date)) found = &*lab.record;
  }
  return found;
}

std::string differences(const Record& record, const Record& from) {
  std::string text;
  for (const auto& entry : record.environment) {
    const bool same = std::find(from.environment.begin(), from.environment.end(), entry) != from.environment.end();
    if (entry.first == "load" || same) continue;
    text += fmt::format("; {}: {}", entry.first, entry.second.value_or("unknown"));
  }
  return text;
}

std::string counts(const std::vector<Lab>& labs) {
  Verdicts sum{};
  int recorded = 0;
  std::string missing;
  for (const auto& lab : labs) {
    if (!lab.record) {
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", lab.name);
      continue;
    }
    ++recorded;
    const auto verdicts = count_verdicts(*lab.record);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += verdicts[i];
  }
  auto text = fmt::format("Claims: {}. Labs with a record: {} of {}.\n", describe(sum), recorded, labs.size());
  if (!missing.empty()) text += fmt::format("Without a record: {}.\n", missing);
  return text;
}

}  // namespace

std::string scoreboard(const std::vector<Lab>& labs, const std::string& machine) {
  std::string text = fmt::format("# Scoreboard of {}\n\n{}", machine, counts(labs));
  const Record* reference = newest(labs);
  if (!reference) return text;
  text += "\n| machine | |\n| --- | --- |\n";
  for (const auto& [name, value] : reference->environment) text += row({name, value.value_or("unknown")});
  text +=
      "\nA floor is the least this machine can charge for the same protocol; the ratio says how far above it a lab "
      "is.\n";
  for (const auto& lab : labs) {
    text += fmt::format("\n## Lab {:02} · {}\n\n", lab.number, lab.title);
    if (!lab.record) {
      text += fmt::format("No record: `make {}`\n", make_target(lab));
      continue;
    }
    const Record& record = *lab.record;
    text += fmt::format("{}, {}{}\n", record.size, record.date, differences(record, *reference));
    for (const auto& [question, answer] : record.predictions) text += fmt::format("\n{} Predicted: {}\n", question, answer);
    text +=
        "\n| verdict | claim | estimate | band | rounds used | reason | source |\n| --- | --- | --- | --- | --- | --- "
        "| --- |\n";
    for (const auto& claim : record.claims) {
      const auto rounds = claim.rounds ? fmt::format("{} of {}", claim.used_rounds, claim.rounds) : "";
      text += row({claim.verdict, fmt::format("{} (`{}`)", claim.text, claim.id), estimate(claim), band_in_words(claim), rounds,
                   claim.reason, claim.source});
    }
    if (record.floors.empty()) continue;
    text += "\n| mechanism | its floor | times the floor |\n| --- | --- | --- |\n";
    for (const auto& floor : record.floors) {
      text += row({floor.mechanism, floor.floor, interval(floor.ratio, floor.low, floor.high, "x")});
    }
  }
  return text;
}

std::string scoreboard_in_short(const std::vector<Lab>& labs, const std::string& machine) {
  std::string text = fmt::format("{}\n{}", machine, counts(labs));
  for (const auto& lab : labs) {
    if (!lab.record) continue;
    text += fmt::format("{:<20} {:<6}  {}\n", lab.name, lab.record->size, describe(count_verdicts(*lab.record)));
    for (const auto& claim : lab.record->claims) {
      if (claim.verdict == "held") continue;
      const auto measured = estimate(claim), wanted = band_in_words(claim);
      text += fmt::format("  {:<10}  {}{}{}{}\n", claim.verdict, claim.text, measured.empty() ? "" : ": " + measured,
                          wanted.empty() ? "" : ", band " + wanted, claim.reason.empty() ? "" : " · " + claim.reason);
    }
  }
  return text;
}

int write_scoreboard(const House& house) {
  const auto labs = find_labs(house);
  const auto machine = house.records.filename().string();
  const auto file = house.records / "scoreboard.md";
  if (report_damage(labs)) {
    say("No scoreboard was written{}.\n", std::filesystem::exists(file) ? "; " + file.string() + " is as it was" : "");
    return 1;
  }
  if (!newest(labs)) {
    fmt::print("No lab has a record in {} yet. Begin with: make run\n", house.records.string());
    return 0;
  }
  write_whole(file, scoreboard(labs, machine));
  fmt::print("{}In full: {}\n", scoreboard_in_short(labs, machine), file.string());
  return 0;
}

}  // namespace lab::course
