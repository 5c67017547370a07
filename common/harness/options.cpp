#include "common/harness/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>  // slow to compile: this file alone includes it
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <limits>
#include <regex>
#include <sstream>

#include "common/machine/environment.hpp"
#include "common/os/say.hpp"

namespace lab {
namespace {

std::vector<std::int64_t> parse_workers(const std::string& list) {
  std::vector<std::int64_t> counts;
  std::istringstream words(list + ",");
  for (std::string word; std::getline(words, word, ',');) {
    if (word.empty() || word.size() > 4 || word.find_first_not_of("0123456789") != std::string::npos ||
        std::stoi(word) < 1 || std::stoi(word) > 1024) {
      throw BadOption(fmt::format(
          "--workers '{}': '{}' is not a number of workers from 1 to 1024; write a list such as 1,2,4", list, word));
    }
    counts.push_back(std::stoi(word));
  }
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

const std::vector<std::string> kUndoing{"repetitions",
                                        "min_time",
                                        "min_warmup_time",
                                        "enable_random_interleaving",
                                        "report_aggregates_only",
                                        "display_aggregates_only",
                                        "dry_run"};

// Follows a flag of the library that we answer ourselves, refuses one that would undo the rounds; false for the rest.
// `said`: how the user said it.
bool follow(CommandLine& options, const std::string& flag, const std::string& value, const std::string& said) {
  const auto one_of_formats = [&] {
    if (value != "console" && value != "json" && value != "csv")
      throw BadOption(fmt::format("{}: the formats are console, json and csv", said));
    return value;
  };
  if (std::count(kUndoing.begin(), kUndoing.end(), flag)) {
    throw BadOption(fmt::format(
        "{}: would undo the rounds in which all variants are measured side by side; use --quick, --full or --rounds",
        said));
  }
  if (flag == "filter") {
    options.filter = value;
  } else if (flag == "format") {
    options.format = one_of_formats();
  } else if (flag == "out") {
    options.benchmark_out = value;
  } else if (flag == "out_format") {
    options.benchmark_out_format = one_of_formats();
  } else if (flag == "list_tests") {
    options.list_variants = value != "false" && value != "0";
  } else {
    return false;
  }
  return true;
}

// Takes the library's flags out of argv, and from the environment those that are ours to follow or refuse: the library
// takes BENCHMARK_REPETITIONS=3 for --benchmark_repetitions=3.
std::vector<std::string> separate_library_flags(int argc, char** argv, CommandLine& options) {
  std::vector<std::string> from_environment = kUndoing, ours;
  from_environment.insert(from_environment.end(), {"filter", "format", "out", "out_format", "list_tests"});
  for (const std::string& flag : from_environment) {
    std::string variable = "BENCHMARK_" + flag;
    for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (const char* value = std::getenv(variable.c_str())) follow(options, flag, value, variable + "=" + value);
  }
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--benchmark_", 0) != 0) {
      ours.push_back(word);
      continue;
    }
    const auto equals = word.find('=');
    const std::string flag = word.substr(12, equals == std::string::npos ? equals : equals - 12);
    if (!follow(options, flag, equals == std::string::npos ? "" : word.substr(equals + 1), word))
      options.library.push_back(argv[i]);
  }
  return ours;
}

}  // namespace

CommandLine parse_command_line(int argc, char** argv, const std::string& name, Experiment experiment,
                               const std::vector<Option>& own) {
  CommandLine line;
  std::vector<std::string> words = separate_library_flags(argc, argv, line);
  std::reverse(words.begin(), words.end());  // CLI11 takes them from the back

  CLI::App app("", name);
  std::string workers;
  auto* quick = app.add_flag_callback(
      "--quick", [&] { line.size = "quick"; }, "3 rounds, no verdicts on times: does it run?");
  app.add_flag_callback(
         "--full", [&] { line.size = "full"; },
         "31 rounds over several fresh processes; more sizes where the lab has them")
      ->excludes(quick);
  app.add_option("--workers", workers, "numbers of workers, such as 1,2,4, where the lab compares them");
  app.add_option("--rounds", line.rounds,
                 fmt::format("rounds to measure; fewer than {} carry no verdict", kLeastRounds))
      ->check(CLI::Range(1, 1000));
  app.add_option("--seed", line.seed, "of the order of variants within the rounds; default: the time")
      ->check(CLI::Range(0u, std::numeric_limits<unsigned>::max()));
  app.add_option("--out", line.out, "folder for the record, or a file ending in .json; default results/<machine>");
  bool trace = true, predict = false;
  auto* traced =
      app.add_flag("--trace,!--no-trace", trace, "record the timeline, where the lab has one; on unless refused");
  app.add_flag("--details", line.details, "print every variant's median, as Google Benchmark prints it");
  app.add_flag("--claims", line.list_claims, "list the claims and their bands, measure nothing");
  auto* predicted =
      app.add_flag("--predict,!--no-predict", predict, "ask for your predictions first; by default on a terminal");
  app.add_option("--show", line.show, "a demonstration instead of the experiment, where the lab has one");
  app.add_option("--part", line.part)->group("");
  for (const Option& o : own) {
    auto* added = app.add_option(o.name, *o.value, o.help)->capture_default_str();
    if (!o.allowed.empty()) added->check(CLI::IsMember(o.allowed));
  }
  app.set_version_flag("--version", version());
  app.footer("Google Benchmark's flags work too: --benchmark_filter, _format, _out, _list_tests, _perf_counters ...");
  try {
    app.parse(words);
  } catch (const CLI::Success& success) {  // --help, --version
    const Lab lab = experiment(line);
    app.description(fmt::format("Lab {} · {}\n{}", name.substr(0, 2), lab.title, lab.question));
    std::string shows;
    for (const auto& [show, function] : lab.shows) shows += (shows.empty() ? " (" : ", ") + show;
    if (!shows.empty())
      app.get_option("--show")->description("a demonstration instead of the experiment" + shows + ")");
    app.exit(success);
    line.answered = true;
    return line;
  } catch (const CLI::ExtrasError&) {  // its own sentence lists them backwards
    throw BadOption(fmt::format("no such option or argument: {}", fmt::join(app.remaining(), " ")));
  } catch (const CLI::ParseError& error) {
    throw BadOption(error.what());
  }
  if (traced->count()) line.trace = trace;
  if (predicted->count()) line.predict = predict;
  if (app.count("--workers")) line.workers = parse_workers(workers);
  if (!app.count("--seed")) line.seed = static_cast<unsigned>(now_ns());
  for (const Option& o : own) {
    if (app.count(o.name)) line.given.insert(o.name);
  }
  return line;
}

std::vector<Variant> choose(std::vector<Variant> variants, std::string filter) {
  if (filter.empty()) return variants;
  const bool inverted = filter[0] == '-';
  if (inverted) filter.erase(0, 1);
  std::regex pattern;
  try {
    pattern = std::regex(filter, std::regex::extended);
  } catch (const std::regex_error& error) {
    throw BadOption(fmt::format("--benchmark_filter: '{}' is no regular expression ({})", filter, error.what()));
  }
  std::erase_if(variants, [&](const Variant& v) { return std::regex_search(v.name, pattern) == inverted; });
  if (variants.empty())
    throw BadOption(
        fmt::format("--benchmark_filter: no variant matches '{}'; --benchmark_list_tests lists them", filter));
  return variants;
}

}  // namespace lab
