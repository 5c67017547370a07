#include <fmt/format.h>

#include <algorithm>

#include "common/course/course.hpp"

namespace lab::course {
namespace {

struct Part {
  int first_lab;
  const char* title;
};
constexpr Part parts[] = {{1, "I. Why processes"},
                          {4, "II. Starting workers, talking to them, feeding them"},
                          {12, "III. One flag, many ways: verifying a prime"},
                          {17, "IV. Sharing data without losing it"},
                          {19, "V. Beyond one machine"},
                          {22, "VI. Beyond the books"},
                          {23, "Labs of your own"}};
constexpr std::size_t columns = 100;

const Part* part_of(int number) {
  const Part* found = parts;
  for (const auto& part : parts) {
    if (part.first_lab <= number) found = &part;
  }
  return found;
}

bool inside_character(char byte) {
  return (byte & 0xC0) == 0x80;
}  // a continuation byte of UTF-8

/// At most `width` characters of UTF-8, padded to that width; an ellipsis shows a cut.
std::string fit(const std::string& text, std::size_t width) {
  const auto length = text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), inside_character));
  if (length <= width) return text + std::string(width - length, ' ');
  std::size_t end = 0;
  for (std::size_t i = 0; i < width; ++end) i += !inside_character(text[end]);
  return text.substr(0, end - 1) + "…";
}

}  // namespace

std::string menu(const std::vector<Lab>& labs) {
  std::size_t name_width = 8;
  for (const auto& lab : labs) name_width = std::max(name_width, lab.name.size());
  const std::string heading = "size   date       held not held can't tell needs";
  const std::size_t title_width = columns - 2 - name_width - 1 - 1 - heading.size();
  const auto next = std::find_if(labs.begin(), labs.end(), [](const Lab& lab) { return !lab.record; });

  std::string text = fmt::format("  {} {} {}\n", fit("lab", name_width), fit("", title_width), heading);
  const Part* part = nullptr;
  for (auto lab = labs.begin(); lab != labs.end(); ++lab) {
    if (part_of(lab->number) != part) text += fmt::format("{}\n", (part = part_of(lab->number))->title);
    text += fmt::format("{} {} {} ", lab == next ? '>' : ' ', fit(lab->name, name_width), fit(lab->title, title_width));
    if (lab->record) {
      const auto [held, not_held, cant_tell, needs] = count_verdicts(*lab->record);
      text += fmt::format("{:<6} {:<10} {:>4} {:>8} {:>10} {:>5}\n", lab->record->size, lab->record->date.substr(0, 10),
                          held, not_held, cant_tell, needs);
    } else {
      text += lab->damage.empty() ? "not run yet\n" : "its record is damaged\n";
    }
  }
  text += next == labs.end() ? "\nAll labs have a record. Draw the figures: make plots\n"
                             : fmt::format("\nnext: make {}\n", make_target(*next));
  text +=
      "\n"
      "make lab-01    one lab: its question, your prediction, the measurement, the verdicts\n"
      "make run       every lab in order, the figures and the scoreboard; asks nothing\n"
      "make plots     the figures, from the records\n"
      "make doctor    whether this machine can be measured on, and what would help\n"
      "make test      the tests\n";
  return text;
}

}  // namespace lab::course
