// course: what stands around the labs. See --help.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "common/course/course.hpp"
#include "common/machine/cores.hpp"
#include "common/os/say.hpp"

namespace {

constexpr const char* usage = R"(course <command> [--results DIR] [--labs DIR] [--bin DIR]

  menu         the labs, what was done, the verdicts, what is next
  run [-- ...] every lab in order, then the scoreboard; what follows -- goes to each lab (-- --quick)
  scoreboard   all claims, verdicts and floors of this machine: results/<machine>/scoreboard.md
  doctor       whether this machine can be measured on; changes nothing
  check        the rules of the house: pages, tests, layers, links

  --results DIR  records and scoreboards, a folder a machine (results)
  --labs DIR     the labs' folders (labs)
  --bin DIR      the labs' executables (build/bin)

Exit status: 0 done, 1 a lab failed, a record is damaged or a rule is broken, 2 bad options, 130 Ctrl-C
)";

struct Words {
  std::string command;
  std::filesystem::path results = "results";
  lab::course::House house;
  std::vector<std::string> lab_arguments;
};

/// Throws std::invalid_argument with a sentence.
Words parse(const std::vector<std::string>& arguments) {
  Words words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto& word = arguments[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == arguments.size()) throw std::invalid_argument(word + " needs a folder: " + word + " DIR");
      return arguments[++i];
    };
    if (i == 0) {
      words.command = word;
    } else if (word == "--results") {
      words.results = value();
    } else if (word == "--labs") {
      words.house.labs = value();
    } else if (word == "--bin") {
      words.house.bin = value();
    } else if (word == "--" && words.command == "run") {
      words.lab_arguments.assign(arguments.begin() + static_cast<long>(i) + 1, arguments.end());
      break;
    } else {
      throw std::invalid_argument(fmt::format("course {} does not know {}. See course --help.", words.command, word));
    }
  }
  return words;
}

int dispatch(Words words) {
  using namespace lab::course;
  if (words.command == "doctor") return doctor();
  if (words.command == "check") return check((std::filesystem::absolute(words.house.labs) / "..").lexically_normal());
  if (words.command != "menu" && words.command != "run" && words.command != "scoreboard") {
    throw std::invalid_argument(fmt::format("course has no command \"{}\". See course --help.", words.command));
  }
  words.house.records = words.results / lab::machine_id(lab::this_machine());
  if (words.command == "scoreboard") return write_scoreboard(words.house);
  if (words.command == "run") {
    const auto& given = words.lab_arguments;
    const bool full = std::count(given.begin(), given.end(), "--full") > 0;
    return run(words.house, given, {.lab = full ? std::chrono::hours(3) : std::chrono::minutes(10)});
  }
  const auto labs = find_labs(words.house);
  fmt::print("{}", menu(labs));
  return report_damage(labs) ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool help =
      !arguments.empty() && (arguments[0] == "--help" || (arguments.size() > 1 && arguments[1] == "--help"));
  if (arguments.empty() || help) {
    if (help) return fmt::print("{}", usage), 0;
    lab::say("{}", usage);
    return 2;
  }
  try {
    return dispatch(parse(arguments));
  } catch (const std::invalid_argument& error) {
    lab::say("{}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    lab::say("{}\n", error.what());
    return 1;
  }
}
