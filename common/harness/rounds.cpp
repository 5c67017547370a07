#include "common/harness/rounds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <sstream>

namespace lab {
namespace {

struct Declared {
  Family* family;
  Kind kind;
  AddArguments add_arguments;
};
std::vector<Declared>& declared() {
  static std::vector<Declared> list;  // filled before main by the BENCHMARK macros
  return list;
}

// The library's listing of its variants, as text.
class Listing : public benchmark::BenchmarkReporter {
 public:
  Listing() { SetOutputStream(&text); }
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>&) override {}
  std::ostringstream text;
};

void initialize_library(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  int argc = static_cast<int>(argv.size());
  benchmark::Initialize(&argc, argv.data());
}

}  // namespace

void declare(Family* family, Kind kind, AddArguments add_arguments) {
  family->UseRealTime();
  declared().push_back({family, kind, add_arguments});
}

std::vector<std::int64_t> worker_counts(const Options& options, std::vector<std::int64_t> otherwise) {
  if (!options.workers.empty()) return options.workers;
  if (!otherwise.empty()) return otherwise;
  const std::int64_t cores = machine().allowed_cores();
  std::set<std::int64_t> counts{1, 2, 4, 8, 16, cores, machine().allowed_threads(), machine().workers()};
  for (std::int64_t n = 1; n <= std::min<std::int64_t>(cores, 8); ++n) counts.insert(n);
  for (std::int64_t n = 16; n < cores; n *= 2) counts.insert(n);
  return {counts.begin(), counts.end()};
}

void each_worker_count(Family* family, const Options& options) {
  family->ArgName("workers");
  for (const std::int64_t n : worker_counts(options)) family->Arg(n);
}

std::vector<Variant> list_variants(const Options& options) {
  // The library lists names but does not say which family a name belongs to: each family's number of iterations, which
  // is part of the name, is made its index for the time of the listing.
  constexpr int kFirst = 1'000'000;
  for (std::size_t i = 0; i < declared().size(); ++i) {
    if (declared()[i].add_arguments) declared()[i].add_arguments(declared()[i].family, options);
    declared()[i].family->Iterations(kFirst + static_cast<int>(i));
  }
  Listing listing;
  initialize_library({"lab", "--benchmark_list_tests=true", "--benchmark_out="});  // BENCHMARK_OUT is ours to follow
  benchmark::RunSpecifiedBenchmarks(&listing, ".");
  initialize_library({"lab", "--benchmark_list_tests=false"});

  std::vector<Variant> variants;
  std::istringstream lines(listing.text.str());
  for (std::string line; std::getline(lines, line);) {
    const auto at = line.rfind("/iterations:");
    if (at == std::string::npos) throw std::logic_error(line + " is not declared by lab::busy or lab::blocking");
    const Declared& d = declared().at(static_cast<std::size_t>(std::stoi(line.substr(at + 12)) - kFirst));
    variants.push_back({d.family, d.kind, line.substr(0, at)});
  }
  return variants;
}

Outcome run_rounds(std::vector<Variant> variants, const std::vector<Point>& points, const Plan& plan) {
  const Yardstick yardstick;
  ForeignLoad foreign;
  Outcome outcome;
  const auto note_wrong = [&](const Measurement& m) {
    if (!m.wrong.empty() && outcome.wrong.size() < 20) outcome.wrong.push_back(m.wrong);
    return !m.wrong.empty();
  };

  double round_seconds = 0;
  for (Variant& v : variants) {
    for (int tries = 0; tries < 3; ++tries) {
      const auto start = Clock::now();
      const Measured tried = measure(v.family, v.name, v.kind, v.iterations, yardstick, foreign);
      if (note_wrong(tried.measurement)) break;
      const std::chrono::duration<double> all = Clock::now() - start;
      if (tried.seconds >= plan.least_seconds || tries == 2) {
        round_seconds += all.count();
        break;
      }
      // A tenth above the aim, for the machine may be slow just now; growth is bounded, for the first run is mostly
      // start-up.
      const double wanted = 1.1 * plan.least_seconds / std::max(tried.seconds, 1e-9);
      v.iterations = static_cast<std::int64_t>(std::ceil(static_cast<double>(v.iterations) * std::min(wanted, 1e6)));
    }
  }

  std::mt19937 random(plan.seed);
  const auto start = Clock::now();
  const double planned = round_seconds * plan.rounds;
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::set<std::string> wanted;  // variants to measure: all of them in the planned rounds
  for (const Variant& v : variants) wanted.insert(v.name);

  const auto another = [&](int round) {
    if (round >= kLeastRounds && elapsed() > plan.most_seconds) return false;
    return round < plan.rounds || (!wanted.empty() && elapsed() < plan.stretch * planned);
  };
  for (int round = 0; another(round); ++round) {
    std::shuffle(variants.begin(), variants.end(), random);
    int done = 0;
    for (const Variant& v : variants) {
      if (!wanted.count(v.name)) continue;
      if (plan.progress) {
        const double share = (round + static_cast<double>(done++) / static_cast<double>(wanted.size())) / plan.rounds;
        const double left = share > 0.05 && share < 1 ? elapsed() / share * (1 - share) : planned * (1 - share);
        const double most = std::max(plan.most_seconds - elapsed(), 0.0);
        share < 1 ? plan.progress(share, std::min(left, most))
                  : plan.progress(1, std::min(plan.stretch * planned - elapsed(), most));
      }
      outcome.measurements.push_back(measure(v.family, v.name, v.kind, v.iterations, yardstick, foreign).measurement);
      outcome.measurements.back().round = round;
      note_wrong(outcome.measurements.back());
    }
    outcome.rounds = round + 1;
    if (round + 1 < plan.rounds) continue;

    // More of what was disturbed too much to be told, for as long as the plan allows.
    const FullSpeed full(outcome.measurements);
    std::set<std::string> disturbed;
    for (const Point& point : points) {
      const std::vector<Ends> pairs = pair_up(point, outcome.measurements, full);
      if (pairs.empty() || !more_rounds(pairs)) continue;
      for (const Value& value : point.inputs) disturbed.insert(value.variant);
    }
    wanted = std::move(disturbed);
  }
  return outcome;
}

}  // namespace lab
