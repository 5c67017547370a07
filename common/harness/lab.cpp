#include "common/harness/lab.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>  // slow to compile: this file alone includes it
#include <algorithm>
#include <csignal>
#include <ctime>
#include <iostream>
#include <regex>

#include "common/harness/record.hpp"
#include "common/harness/report.hpp"
#include "common/machine/environment.hpp"
#include "common/os/message.hpp"

namespace lab {
namespace {

namespace fs = std::filesystem;

/// Words on the command line that cannot be followed: status 2.
struct BadOption : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string size = "normal";
  std::string workers, out, filter, format = "console", benchmark_out, benchmark_out_format = "json", show;
  int rounds = 0;  // 0: what the size says
  unsigned seed = 0;
  bool trace = true, list_claims = false, list_variants = false, has_predict = false, predict = false;
  std::string part;  // internal: "fd,rounds,name" of one of --full's fresh processes
  std::vector<char*> library{};  // flags handed to Google Benchmark
};

extern "C" void end_at_once(int signal) {
  // Workers die with us (their parent-death signal), files get their name only when whole: there is nothing to tidy up.
  const char newline = '\n';
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, &newline, 1);
  ::_exit(128 + signal);
}

fs::path executable() { return fs::read_symlink("/proc/self/exe"); }

// The lab that follows this one: the next number among the executables beside it.
std::string next_lab(const std::string& name) {
  std::string next;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(executable().parent_path(), error)) {
    const std::string other = entry.path().filename().string();
    if (std::regex_match(other, std::regex("[0-9][0-9]_[a-z0-9_]+")) && other > name && (next.empty() || other < next)) next = other;
  }
  return next;
}

std::vector<std::int64_t> parse_workers(const std::string& list) {
  std::vector<std::int64_t> counts;
  std::istringstream words(list + ",");
  for (std::string word; std::getline(words, word, ',');) {
    if (word.empty() || word.size() > 4 || word.find_first_not_of("0123456789") != std::string::npos || std::stoi(word) < 1 || std::stoi(word) > 1024) {
      throw BadOption(fmt::format("--workers '{}': '{}' is not a number of workers from 1 to 1024; write a list such as 1,2,4", list, word));
    }
    counts.push_back(std::stoi(word));
  }
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

// Takes the library's flags out of argv: those we answer ourselves, those that would undo the rounds, and the rest.
std::vector<std::string> separate_library_flags(int argc, char** argv, Options& options) {
  std::vector<std::string> ours;
  const std::vector<std::string> undoing{"repetitions", "min_time", "min_warmup_time", "enable_random_interleaving", "report_aggregates_only",
                                         "display_aggregates_only", "dry_run"};
  const std::vector<std::string> formats{"console", "json", "csv"};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--benchmark_", 0) != 0) {
      ours.push_back(word);
      continue;
    }
    const auto equals = word.find('=');
    const std::string flag = word.substr(12, equals == std::string::npos ? equals : equals - 12);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    const auto one_of_formats = [&] {
      if (!std::count(formats.begin(), formats.end(), value)) throw BadOption(fmt::format("{}: the formats are console, json and csv", word));
      return value;
    };
    if (std::count(undoing.begin(), undoing.end(), flag)) {
      throw BadOption(fmt::format("{}: would undo the rounds in which all variants are measured side by side; use --quick, --full or --rounds", word));
    } else if (flag == "filter") {
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
      options.library.push_back(argv[i]);
    }
  }
  return ours;
}

Options parse(int argc, char** argv, const std::string& name, const Lab& lab) {
  Options options;
  std::vector<std::string> words = separate_library_flags(argc, argv, options);
  std::reverse(words.begin(), words.end());  // CLI11 takes them from the back

  CLI::App app(fmt::format("Lab {} · {}\n{}", name.substr(0, 2), lab.title, lab.question), name);
  auto* quick = app.add_flag_callback("--quick", [&] { options.size = "quick"; }, "3 rounds, no verdicts on times: does it run?");
  app.add_flag_callback("--full", [&] { options.size = "full"; }, "the books' sizes, 31 rounds over several fresh processes")->excludes(quick);
  app.add_option("--workers", options.workers, "numbers of workers, such as 1,2,4");
  app.add_option("--rounds", options.rounds, fmt::format("rounds to measure; fewer than {} carry no verdict", kLeastRounds))->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed, "of the order of variants within the rounds; default: the time");
  app.add_option("--out", options.out, "folder for the record, or a file ending in .json; default results/<machine>");
  app.add_flag("--trace,!--no-trace", options.trace, "record the timeline, where the lab has one");
  app.add_flag("--claims", options.list_claims, "list the claims and their bands, measure nothing");
  auto* predict = app.add_flag("--predict,!--no-predict", options.predict, "ask for your prediction first; by default on a terminal");
  app.add_option("--part", options.part)->group("");
  for (const Option& o : lab.options) {
    auto* added = app.add_option(o.name, *o.value, o.help)->capture_default_str();
    if (!o.allowed.empty()) added->check(CLI::IsMember(o.allowed));
  }
  if (!lab.shows.empty()) {
    std::vector<std::string> names;
    for (const auto& [show, function] : lab.shows) names.push_back(show);
    app.add_option("--show", options.show, "a demonstration instead of the experiment")->check(CLI::IsMember(names));
  }
  app.set_version_flag("--version", version());
  app.footer("Google Benchmark's flags work too: --benchmark_filter, _format, _out, _list_tests, _perf_counters ...");
  try {
    app.parse(words);
  } catch (const CLI::Success& success) {  // --help, --version
    std::exit(app.exit(success));
  } catch (const CLI::ParseError& error) {
    throw BadOption(error.what());
  }
  options.has_predict = predict->count() > 0;
  if (app.count("--workers")) set_worker_counts(parse_workers(options.workers));
  if (!app.count("--seed")) options.seed = static_cast<unsigned>(monotonic_ns());
  return options;
}

void list_claims(const Lab& lab) {
  for (const Claim& claim : lab.claims) {
    fmt::print("{:<28} {:<6} {}\n", claim.id, claim.measure.kind, claim.text);
    for (const Point& p : claim.measure.points) {
      ClaimResult band;
      if (std::isfinite(p.low)) band.band_low = p.low;
      if (std::isfinite(p.high)) band.band_high = p.high;
      fmt::print("{:<35} band {}{}\n", "", band_in_words(band), p.label.empty() ? "" : " (" + p.label + ")");
    }
    if (!claim.needs.empty()) fmt::print("{:<35} not testable here: needs {}\n", "", claim.needs);
  }
  for (const auto& [mechanism, floor] : lab.floors) fmt::print("floor of {}: {}\n", mechanism, floor);
}

// A claim that names no variant is a mistake in the lab; unless the user has left variants out.
void check_names(const Lab& lab, const std::vector<Variant>& variants, bool chosen) {
  const auto known = [&](const std::string& name) {
    return std::any_of(variants.begin(), variants.end(), [&](const Variant& v) { return v.name == name; });
  };
  std::vector<std::string> names;
  for (const Claim& claim : lab.claims) {
    if (!claim.needs.empty()) continue;
    for (const Point& point : claim.measure.points) {
      for (const Value& value : point.inputs) names.push_back(value.variant);
    }
  }
  for (const auto& [mechanism, floor] : lab.floors) names.insert(names.end(), {mechanism, floor});
  for (const std::string& name : names) {
    if (!known(name) && !chosen) throw std::logic_error("a claim or floor names the variant '" + name + "', and there is none");
  }
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
  if (variants.empty()) throw BadOption(fmt::format("--benchmark_filter: no variant matches '{}'; --benchmark_list_tests lists them", filter));
  return variants;
}

// Where the record goes. Found out before anything is measured: a folder that cannot be written is said at once.
fs::path record_path(const Options& options, const std::string& name) {
  fs::path path = options.out.empty() ? fs::path("results") / machine_id(machine()) : fs::path(options.out);
  if (path.extension() != ".json") path /= name + ".json";
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::string hint = options.out.empty() ? "run it in a folder you may write to, or use --out FOLDER" : "choose another --out";
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) {
    const Descriptor probe(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    constexpr off_t kRoom = 4 << 20;  // a record and its trace
    if (probe) {
      error.assign(::posix_fallocate(probe.get(), 0, kRoom), std::generic_category());
    } else if (::access(folder.c_str(), W_OK) < 0) {
      error.assign(errno, std::generic_category());
    }
  }
  if (error && error != std::errc::not_supported) throw BadOption(fmt::format("cannot write to {}: {}; {}", folder.string(), error.message(), hint));
  return path;
}

// A record of a larger run is not replaced by that of a trial, unless --out says so.
bool keep_existing(const fs::path& path, const Options& options) {
  if (!options.out.empty() || !fs::exists(path)) return false;
  const auto rank = [](const std::string& size) { return size == "full" ? 2 : size == "normal" ? 1 : 0; };
  try {
    return rank(read_record(path).size) > rank(options.filter.empty() ? options.size : "quick");
  } catch (const std::runtime_error&) {
    return false;  // damaged: better replaced
  }
}

std::optional<std::string> ask_prediction(const Lab& lab, const Options& options) {
  fmt::print(stderr, "{}\n\n  {}\n", lab.title, lab.question);
  const bool terminal = ::isatty(STDIN_FILENO) && ::isatty(STDERR_FILENO);
  if (lab.predict.empty() || !(options.has_predict ? options.predict : terminal)) return std::nullopt;
  fmt::print(stderr, "\n  Your prediction: {}\n  (Enter skips) > ", lab.predict);
  std::string answer;
  std::getline(std::cin, answer);
  if (!terminal) fmt::print(stderr, "\n");
  return answer.empty() ? std::nullopt : std::optional(answer.substr(0, 500));
}

// What a part of a full run sends its parent.
struct Sent {
  std::string variant, invalid;
  int round = 0;
  std::int64_t iterations = 0;
  double seconds = 0, cpu_seconds = 0;
  std::map<std::string, double> counters;
  auto members() { return std::tie(variant, invalid, round, iterations, seconds, cpu_seconds, counters); }
};

void send_part(int fd, const Outcome& outcome) {
  std::vector<Sent> sent;
  for (const Measurement& m : outcome.measurements) sent.push_back({m.variant, m.invalid, m.round, m.iterations, m.seconds, m.cpu_seconds, m.counters});
  send_message(fd, encode(outcome.rounds, sent, outcome.wrong));
}

// A full run measures in several fresh processes: addresses and caches differ from one to the next, and so does what they do
// to a time, which no number of rounds in one process averages out.
Outcome measure_in_parts(int rounds, int argc, char** argv) {
  constexpr int kParts = 4;
  Outcome all;
  for (int part = 0; part < kParts; ++part) {
    auto [reader, writer] = make_pipe();
    const int share = rounds / kParts + (part < rounds % kParts);
    if (share == 0) continue;
    const pid_t pid = fork_child();
    if (pid == 0) {
      leave([&, &out = writer] {
        ::fcntl(out.get(), F_SETFD, 0);
        std::string words = fmt::format("{},{},part {} of {}", out.get(), share, part + 1, kParts), flag = "--part";
        std::vector<char*> args(argv, argv + argc);
        args.insert(args.end(), {flag.data(), words.data(), nullptr});
        ::execv("/proc/self/exe", args.data());
        throw_errno("cannot start a fresh process");
      });
    }
    writer.reset();
    const Deadline deadline = Clock::now() + std::chrono::hours(2);
    std::optional<std::string> message;
    if (wait_for(reader.get(), POLLIN, deadline)) message = receive_message(reader.get());
    if (!message) ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (!message || status != 0) throw WorkerError(fmt::format("part {} of the full run ended with {}", part + 1, describe_status(status)));
    Decoder decoder(*message);
    const int measured = decoder.get<int>();
    for (Sent& s : decoder.get<std::vector<Sent>>()) {
      all.measurements.push_back({s.variant, s.round + all.rounds, s.iterations, s.seconds, s.cpu_seconds, s.counters, s.invalid});
    }
    for (std::string& sentence : decoder.get<std::vector<std::string>>()) all.wrong.push_back(std::move(sentence));
    decoder.finish();
    all.rounds += measured;
  }
  return all;
}

Outcome measure_here(const Options& options, const std::vector<Variant>& variants, const Lab& lab, int rounds, const std::string& label) {
  Progress progress(label);
  return run_rounds(variants, lab.claims,
                    {.rounds = rounds,
                     .seed = options.seed,
                     .least_seconds = options.size == "quick" ? 0.005 : 0.020,
                     .stretch = options.size == "quick" ? 1.0 : 3.0,
                     .progress = [&](double done, double left) { progress.show(done, left); }});
}

int run_lab(const std::string& name, int argc, char** argv, const Lab& lab) {
  Options options = parse(argc, argv, name, lab);
  for (const auto& [show, function] : lab.shows) {
    if (show == options.show) return function(), 0;
  }
  const std::vector<Variant> every = list_variants();
  check_names(lab, every, !options.workers.empty());
  if (options.list_claims) return list_claims(lab), 0;

  options.library.insert(options.library.begin(), argv[0]);
  int left = static_cast<int>(options.library.size());
  benchmark::Initialize(&left, options.library.data());
  if (left > 1) throw BadOption(fmt::format("{}: Google Benchmark knows no such flag", options.library[1]));
  const std::vector<Variant> variants = choose(every, options.filter);
  if (options.list_variants) {
    for (const Variant& v : variants) fmt::print("{}\n", v.name);
    return 0;
  }

  const int rounds = options.rounds ? options.rounds : options.size == "quick" ? 3 : options.size == "full" ? 31 : 15;
  if (!options.part.empty()) {  // "fd,rounds,label"
    const auto comma = options.part.find(','), second = options.part.find(',', comma + 1);
    const Descriptor out(std::stoi(options.part));
    send_part(out.get(), measure_here(options, variants, lab, std::stoi(options.part.substr(comma + 1)), name + " " + options.part.substr(second + 1)));
    return 0;
  }

  const fs::path path = record_path(options, name);
  Record record{.name = name, .title = lab.title, .size = options.size};
  record.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  record.environment = environment(machine());
  record.prediction = ask_prediction(lab, options);
  for (const auto& [title, make] : lab.tables) record.tables.emplace_back(title, make());

  const Outcome outcome = options.size == "full" ? measure_in_parts(rounds, argc, argv) : measure_here(options, variants, lab, rounds, name);
  bool right = outcome.wrong.empty();
  for (const Claim& claim : lab.claims) {
    record.claims.push_back(judge(claim, outcome.measurements, untimeable()));
    right = right && !(claim.measure.correctness && record.claims.back().verdict == "not held");
  }
  for (const auto& [mechanism, floor] : lab.floors) record.floors.push_back(judge_floor(mechanism, floor, outcome.measurements));
  record.benchmark_json = as_benchmark_output(outcome.measurements, "json");
  const std::string json = to_json(record);

  if (options.format == "console") {
    for (const auto& [title, content] : record.tables) fmt::print("\n{}\n{}\n", title, content);
    fmt::print("\nMedians of the valid rounds\n{}{}\n", as_benchmark_output(outcome.measurements, "console"), floor_lines(record.floors));
    if (record.prediction) fmt::print("You predicted: {}\n\n", *record.prediction);
    for (std::size_t i = 0; i < lab.claims.size(); ++i) fmt::print("{}", verdict_lines(lab.claims[i], record.claims[i]));
  } else {
    fmt::print("{}", options.format == "json" ? json : as_benchmark_output(outcome.measurements, "csv"));
  }
  std::fflush(stdout);
  for (const std::string& sentence : outcome.wrong) fmt::print(stderr, "wrong answer: {}\n", sentence);

  if (!options.benchmark_out.empty()) {
    write_whole(options.benchmark_out, options.benchmark_out_format == "json" ? json : as_benchmark_output(outcome.measurements, options.benchmark_out_format));
  }
  if (keep_existing(path, options)) {
    fmt::print(stderr, "\n{} holds a longer run's record and was kept; --out FOLDER writes this one\n", path.string());
  } else {
    write_whole(path, json);
    if (lab.trace && options.trace) {
      Trace trace;
      lab.trace(trace);
      write_whole(fs::path(path).replace_extension(".trace.json"), trace.to_json());
    }
    fmt::print(stderr, "\nrecord: {}\n", path.string());
  }
  const std::string next = next_lab(name);
  fmt::print(stderr, "Now read labs/{}/AFTER.md{}\n", name, next.empty() ? "" : "; next: make lab-" + next.substr(0, 2));
  return right ? 0 : 1;
}

}  // namespace

std::string needs_cores(int cores) {
  const int have = machine().workers();
  return have >= cores ? "" : fmt::format("{} cores; {} allowed here", cores, have == 1 ? "one is" : std::to_string(have) + " are");
}
std::string needs_hardware_threads() {
  return machine().allowed_threads() > machine().allowed_cores() ? "" : "hardware threads";
}
std::string needs_equal_cores() { return machine().kinds() == 1 ? "" : "cores of one kind"; }

int run(int argc, char** argv, const Lab& lab) {
  const std::string name = executable().filename().string();
  std::signal(SIGPIPE, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, end_at_once);
  try {
    return run_lab(name, argc, argv, lab);
  } catch (const BadOption& error) {
    fmt::print(stderr, "{}: {}\n{} --help lists the options\n", name, error.what(), argv[0]);
    return 2;
  } catch (const MissingPrerequisite& missing) {
    fmt::print(stderr, "{}: skipped: {}\n", name, missing.what());
    return 77;
  } catch (const std::system_error& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return error.code() == std::errc::no_space_on_device || error.code() == std::errc::read_only_file_system ? 2 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return 1;
  }
}

}  // namespace lab
