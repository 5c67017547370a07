#include "common/harness/lab.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <csignal>
#include <cstring>
#include <ctime>
#include <iostream>
#include <limits>
#include <regex>

#include "common/harness/options.hpp"
#include "common/harness/parts.hpp"
#include "common/harness/record.hpp"
#include "common/harness/report.hpp"
#include "common/machine/environment.hpp"
#include "common/os/say.hpp"

namespace lab {
namespace {

namespace fs = std::filesystem;

extern "C" void end_at_once(int signal) {
  // Workers die with us (their parent-death signal), files get their name only when whole: there is nothing to tidy up.
  const char newline = '\n';
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, &newline, 1);
  ::_exit(128 + signal);
}

// The command that helps against a limit of the system, as a line; empty where there is none to name.
std::string what_helps(const std::error_code& error) {
  if (error == std::errc::too_many_files_open) return "ulimit -n 4096 lets it open more files\n";
  if (error == std::errc::resource_unavailable_try_again)
    return "ulimit -u, and the limits of a container, say how many processes there may be\n";
  if (error == std::errc::no_space_on_device) return "df -h says which file system is full\n";
  return "";
}

fs::path executable() { return fs::read_symlink("/proc/self/exe"); }

// The lab that follows this one: the next number among the executables beside it.
std::string next_lab(const std::string& name) {
  std::string next;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(executable().parent_path(), error)) {
    const std::string other = entry.path().filename().string();
    if (std::regex_match(other, std::regex("[0-9][0-9]_[a-z0-9_]+")) && other.compare(0, 2, name, 0, 2) > 0 &&
        (next.empty() || other < next))
      next = other;
  }
  return next;
}

void list_claims(const Lab& lab) {
  for (const Claim& claim : lab.claims) {
    fmt::print("{:<28} {:<6} {}\n", claim.id, claim.measure.kind, claim.text);
    std::vector<std::pair<std::string, std::string>> bands;  // each with the labels of the points it is for
    for (const Point& p : claim.measure.points) {
      ClaimResult band;
      if (std::isfinite(p.low)) band.band_low = p.low;
      if (std::isfinite(p.high)) band.band_high = p.high;
      const std::string words = band_in_words(band);
      const auto same = std::find_if(bands.begin(), bands.end(), [&](const auto& b) { return b.first == words; });
      if (same == bands.end()) {
        bands.emplace_back(words, p.label);
      } else {
        same->second += "; " + p.label;
      }
    }
    for (const auto& [band, labels] : bands)
      fmt::print("{:<35} band {}{}\n", "", band, labels.empty() ? "" : ": " + labels);
    if (claim.book) fmt::print("{:<35} {}\n", "", published(claim));
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
  for (const Row& row : lab.rows) {
    for (const Value& value : row.value.inputs) names.push_back(value.variant);
  }
  for (const std::string& name : names) {
    if (!known(name) && !chosen)
      throw std::logic_error("a claim, row or floor names the variant '" + name + "', and there is none");
  }
}

// A file that cannot be written is said at once, before anything is measured. Throws BadOption.
void check_writable(const fs::path& path, const std::string& hint) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  fs::create_directories(folder, error);
  if (fs::exists(path) && !fs::is_regular_file(path)) error = std::make_error_code(std::errc::file_exists);
  if (!error) {
    Descriptor probe(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    if (!probe) {  // not every file system has files without a name
      const fs::path named = folder / fmt::format(".{}.probe", path.filename().string());
      probe.reset(::open(named.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
      if (!probe) error.assign(errno, std::generic_category());
      ::unlink(named.c_str());
    }
    constexpr off_t kRoom = 4 << 20;  // a record and its trace
    if (probe) error.assign(::posix_fallocate(probe.get(), 0, kRoom), std::generic_category());
  }
  if (error && error != std::errc::not_supported)
    throw BadOption(fmt::format("cannot write {}: {}; {}", path.string(), error.message(), hint));
}

// What sets this run apart from the plain one, as part of a file's name: ".workers=1,2,4.every=10". Empty for the plain
// one.
std::string apart(const CommandLine& line, const std::vector<Option>& own) {
  std::string suffix;
  const auto add = [&](std::string_view name, std::string value) {
    for (char& c : value) {
      if (!std::isalnum(static_cast<unsigned char>(c)) && !std::strchr(",-+", c)) c = '_';
    }
    suffix += fmt::format(".{}={}", name, value.substr(0, 60));
  };
  if (!line.workers.empty()) add("workers", fmt::format("{}", fmt::join(line.workers, ",")));
  if (line.rounds) add("rounds", std::to_string(line.rounds));
  if (!line.filter.empty()) add("filter", line.filter);
  for (const Option& o : own) {
    if (line.given.count(o.name)) add(o.name.substr(o.name.find_first_not_of('-')), *o.value);
  }
  return suffix;
}

fs::path record_path(const CommandLine& line, const std::string& file) {
  fs::path path = line.out.empty() ? fs::path("results") / machine_id(machine()) : fs::path(line.out);
  if (path.extension() != ".json") path /= file + ".json";
  if (!line.benchmark_out.empty()) check_writable(line.benchmark_out, "choose another --benchmark_out");
  check_writable(
      path, line.out.empty() ? "run it in a folder you may write to, or use --out FOLDER" : "choose another --out");
  return path;
}

// A record of a larger run is not replaced by that of a smaller one, unless --out says so.
bool keep_existing(const fs::path& path, const CommandLine& line) {
  if (!line.out.empty() || !fs::exists(path)) return false;
  const auto rank = [](const std::string& size) { return size == "full" ? 2 : size == "normal" ? 1 : 0; };
  try {
    return rank(read_record(path).size) > rank(line.size);
  } catch (const std::runtime_error&) {
    return false;  // damaged: better replaced
  }
}

// Asks the rows' questions; an answer that is Enter alone is none.
Predictions ask(const Lab& lab, const CommandLine& line) {
  say("{}\n\n  {}\n", lab.title, lab.question);
  const bool terminal = ::isatty(STDIN_FILENO) && ::isatty(STDERR_FILENO);
  Predictions predictions;
  if (!line.predict.value_or(terminal)) return predictions;
  for (const Row& row : lab.rows) {
    if (row.ask.empty()) continue;
    if (predictions.empty()) say("\n  Your predictions (Enter skips one):\n");
    say("  {} > ", row.ask);
    std::string answer;
    std::getline(std::cin, answer);
    if (!terminal) say("\n");
    predictions.emplace_back(row.ask, answer.substr(0, 200));
  }
  std::erase_if(predictions, [](const auto& p) { return p.second.empty(); });
  return predictions;
}

Outcome measure_here(const CommandLine& line, const std::vector<Variant>& variants, const Lab& lab, int rounds,
                     const std::string& label) {
  Progress progress(label);
  std::vector<Point> points;  // floors, too, are worth the rounds an interval takes
  for (const Claim& claim : lab.claims) {
    if (claim.needs.empty()) points.insert(points.end(), claim.measure.points.begin(), claim.measure.points.end());
  }
  for (const auto& [mechanism, floor] : lab.floors) points.push_back(ratio(mechanism, floor));
  return run_rounds(variants, points,
                    {.rounds = rounds,
                     .seed = line.seed,
                     .least_seconds = line.quick() ? 0.005 : 0.020,
                     .most_seconds = line.full() || line.rounds ? std::numeric_limits<double>::infinity() : 25,
                     .stretch = line.quick() ? 0.0 : 1.5,
                     .progress = [&](double done, double left) { progress.show(done, left); }});
}

int run_lab(const std::string& name, int argc, char** argv, Experiment experiment, const std::vector<Option>& own) {
  CommandLine line = parse_command_line(argc, argv, name, experiment, own);
  if (line.answered) return 0;
  const Lab lab = experiment(line);
  if (lab.instead) return lab.instead();
  if (!line.show.empty()) {
    std::string names;
    for (const auto& [show, function] : lab.shows) {
      if (show == line.show) return function(), 0;
      names += (names.empty() ? "" : ", ") + show;
    }
    throw BadOption(names.empty() ? "--show: this lab has no demonstrations"
                                  : fmt::format("--show {}: the demonstrations are {}", line.show, names));
  }
  const std::vector<Variant> every = list_variants(line);
  const auto counts_workers = [](const Variant& v) { return v.name.find("workers:") != std::string::npos; };
  if (!line.workers.empty() && !lab.takes_workers && std::none_of(every.begin(), every.end(), counts_workers))
    say("{}: no variant of this lab takes a number of workers; --workers changes nothing\n", name);
  if (!lab.trace && line.trace.value_or(false) && line.part.empty())
    say("{}: this lab has no timeline; --trace changes nothing\n", name);
  check_names(lab, every, !line.workers.empty());
  if (line.list_claims) return list_claims(lab), 0;
  if (!machine().real) {
    throw MissingPrerequisite(
        "hwloc was told of another machine than this one; unset HWLOC_SYNTHETIC and HWLOC_XMLFILE");
  }

  line.library.insert(line.library.begin(), argv[0]);
  int left = static_cast<int>(line.library.size());
  benchmark::Initialize(&left, line.library.data());
  if (left > 1) throw BadOption(fmt::format("{}: Google Benchmark knows no such flag", line.library[1]));
  const std::vector<Variant> variants = choose(every, line.filter);
  if (line.list_variants) {
    for (const Variant& v : variants) fmt::print("{}\n", v.name);
    return 0;
  }

  if (lab.prepare) lab.prepare();
  const int rounds = line.rounds ? line.rounds : line.quick() ? 3 : line.full() ? 31 : 15;
  if (!line.part.empty()) {
    const Part part(line.part);
    send_part(part.fd, measure_here(line, variants, lab, part.rounds, name + " " + part.label));
    return 0;
  }

  const fs::path path = record_path(line, name + apart(line, own));
  Record record{.name = name, .title = lab.title, .size = line.size};
  record.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  record.environment = environment(machine());
  record.predictions = ask(lab, line);
  for (const auto& [title, make] : lab.tables) record.tables.emplace_back(title, make());

  const Outcome outcome =
      line.full() ? measure_in_parts(rounds, argc, argv) : measure_here(line, variants, lab, rounds, name);
  bool right = outcome.wrong.empty();
  for (const Claim& claim : lab.claims) {
    record.claims.push_back(judge(claim, outcome.measurements, untimeable()));
    right = right && !(claim.measure.correctness && record.claims.back().verdict == "not held");
  }
  for (const auto& [mechanism, floor] : lab.floors)
    record.floors.push_back(judge_floor(mechanism, floor, outcome.measurements));
  record.benchmark_json = as_benchmark_output(outcome.measurements, "json");
  const std::string json = to_json(record);

  if (line.format == "console") {
    for (const auto& [title, content] : record.tables) fmt::print("\n{}\n{}\n", title, content);
    fmt::print("{}", row_lines(lab.rows, record.predictions, outcome.measurements));
    if (line.details) fmt::print("\nMedians of all rounds\n{}", as_benchmark_output(outcome.measurements, "console"));
    fmt::print("{}\n", floor_lines(record.floors));
    for (std::size_t i = 0; i < lab.claims.size(); ++i)
      fmt::print("{}", verdict_lines(lab.claims[i], record.claims[i]));
  } else {
    fmt::print("{}", line.format == "json" ? json : as_benchmark_output(outcome.measurements, "csv"));
  }
  std::fflush(stdout);
  for (const std::string& sentence : outcome.wrong) say("wrong answer: {}\n", sentence);

  if (!line.benchmark_out.empty()) {
    write_whole(line.benchmark_out, line.benchmark_out_format == "json"
                                        ? json
                                        : as_benchmark_output(outcome.measurements, line.benchmark_out_format));
  }
  if (keep_existing(path, line)) {
    say("\n{} holds a longer run's record and was kept; --out FOLDER writes this one\n", path.string());
  } else {
    write_whole(path, json);
    if (lab.trace && line.trace.value_or(true)) {
      Trace trace;
      lab.trace(trace);
      write_whole(fs::path(path).replace_extension(".trace.json"), trace.to_json());
    }
    say("\nrecord: {}\n", path.string());
  }
  const std::string next = next_lab(name);
  say("Now read labs/{}/AFTER.md{}\n", name, next.empty() ? "" : fmt::format("; next: labs/{}/README.md", next));
  return right ? 0 : 1;
}

}  // namespace

std::string needs_cores(int cores) {
  const int have = machine().workers();
  return have >= cores
             ? ""
             : fmt::format("{} cores; {} allowed here", cores, have == 1 ? "one is" : std::to_string(have) + " are");
}
std::string needs_hardware_threads() {
  return machine().allowed_threads() > machine().allowed_cores() ? "" : "hardware threads";
}
std::string needs_equal_cores() { return machine().kinds() == 1 ? "" : "cores of one kind"; }

int run(int argc, char** argv, Experiment experiment, std::vector<Option> own) {
  const std::string name = executable().filename().string();
  // A closed standard descriptor's number would go to some pipe next, and what is meant for a person into that.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", O_RDWR);  // gets the lowest free number
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // inherited as ignored, it would hide how workers end
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, end_at_once);
  try {
    const int status = run_lab(name, argc, argv, experiment, own);
    if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return status;
    say("{}: not all of the result could be written to stdout; is it full, or closed?\n", name);
    return 2;
  } catch (const BadOption& error) {
    say("{}: {}\n{} --help lists the options\n", name, error.what(), argv[0]);
    return 2;
  } catch (const MissingPrerequisite& missing) {
    say("{}: skipped: {}\n", name, missing.what());
    return 77;
  } catch (const std::system_error& error) {
    say("{}: {}\n{}", name, error.what(), what_helps(error.code()));
    return error.code() == std::errc::no_space_on_device || error.code() == std::errc::read_only_file_system ? 2 : 1;
  } catch (const std::exception& error) {
    say("{}: {}\n", name, error.what());
    return 1;
  }
}

}  // namespace lab
