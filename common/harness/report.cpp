#include "common/harness/report.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <sstream>

#include "common/harness/statistics.hpp"
#include "common/os/say.hpp"

namespace lab {
namespace {

std::string figure(double value, const std::string& unit) {
  return fmt::format("{:.{}f}{}", value, std::abs(value) < 10 ? 3 : std::abs(value) < 100 ? 2 : 1, unit);
}

// A time in the unit a person would choose.
std::string time(double seconds) {
  for (const auto& [unit, size] : {std::pair{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}}) {
    if (seconds < 999.5 * size) return fmt::format("{:.3g} {}", seconds / size, unit);
  }
  return fmt::format("{:.3g} s", seconds);
}

using Run = benchmark::BenchmarkReporter::Run;

Run as_run(const Measurement& m, int rounds) {
  Run run;
  run.run_name.function_name = m.variant;
  run.run_type = Run::RT_Iteration;
  run.family_index = run.per_family_instance_index = 0;  // the library leaves them unset
  run.iterations = m.iterations;
  run.threads = 1;
  run.time_unit = benchmark::kNanosecond;
  run.real_accumulated_time = m.seconds * static_cast<double>(m.iterations);
  run.cpu_accumulated_time = m.cpu_seconds * static_cast<double>(m.iterations);
  run.repetition_index = m.round;
  run.repetitions = rounds;
  run.report_label = m.wrong;
  for (const auto& [name, value] : m.counters) run.counters[name] = benchmark::Counter(value);
  return run;
}

// One line a variant: medians over its rounds.
std::vector<Measurement> medians(const std::vector<Measurement>& all) {
  std::map<std::string, std::vector<const Measurement*>> by_variant;
  for (const Measurement& m : all) by_variant[m.variant].push_back(&m);
  std::vector<Measurement> out;
  for (auto& [variant, list] : by_variant) {
    const auto median_of = [&list = list](auto field) {
      std::vector<double> values;
      for (const Measurement* m : list) values.push_back(field(*m));
      return median(values);
    };
    Measurement line = *list.front();
    for (const Measurement* m : list) line.counters.insert(m->counters.begin(), m->counters.end());
    line.seconds = median_of([](const Measurement& m) { return m.seconds; });
    line.cpu_seconds = median_of([](const Measurement& m) { return m.cpu_seconds; });
    for (auto& [name, value] : line.counters) {
      std::vector<double> values;  // a round with a wrong answer may lack it
      for (const Measurement* m : list) {
        if (const auto found = m->counters.find(name); found != m->counters.end()) values.push_back(found->second);
      }
      value = median(values);
    }
    line.wrong.clear();
    out.push_back(line);
  }
  return out;
}

// The measurements with what the judge saw in them as counters: pace_low, pace_high, cpu_share, kept.
std::vector<Measurement> with_evidence(std::vector<Measurement> all) {
  const FullSpeed full(all);
  for (Measurement& m : all) {
    const Interval pace = pace_range(m, full);
    m.counters.insert({{"pace_low", pace.low}, {"pace_high", pace.high}, {"cpu_share", m.cpu_share}, {"kept", m.kept}});
  }
  return all;
}

}  // namespace

std::string band_in_words(const ClaimResult& r) {
  if (r.band_low && r.band_high) return fmt::format("{:.4g} to {:.4g}", *r.band_low, *r.band_high);
  if (r.band_high) return fmt::format("at most {:.4g}", *r.band_high);
  if (r.band_low) return fmt::format("at least {:.4g}", *r.band_low);
  return "";
}

std::string published(const Claim& claim) {
  const auto& [low, high, source] = *claim.book;
  if (low == 0 && high == 0) return fmt::format("book: {}", source);
  const std::string range = low == high ? figure(low, claim.unit) : figure(low, "") + " to " + figure(high, claim.unit);
  return fmt::format("book {} ({})", range, source);
}

std::string verdict_lines(const Claim& claim, const ClaimResult& r) {
  if (r.verdict == "needs") return fmt::format("not testable here: {:<31} {}\n", r.reason, r.text);
  std::string line = fmt::format("{:<10} {}", r.verdict, r.text);
  if (r.estimate) {
    line += ": " + figure(*r.estimate, claim.unit);
    if (r.low && r.high) line += fmt::format(" [{}, {}]", figure(*r.low, ""), figure(*r.high, ""));
    line += fmt::format(", band {}, {} of {} rounds", band_in_words(r), r.used_rounds, r.rounds);
  }
  std::string second;
  if (claim.book && (claim.book->low != 0 || claim.book->high != 0)) second = published(claim);
  if (!r.reason.empty()) second += (second.empty() ? "" : " · ") + r.reason;
  return line + "\n" + (second.empty() ? "" : "           " + second + "\n");
}

std::string row_lines(const std::vector<Row>& rows, const Predictions& predictions,
                      const std::vector<Measurement>& all) {
  const FullSpeed full(all);
  std::string out;
  std::size_t widest = 0;
  for (const Row& row : rows) widest = std::max(widest, row.name.size());
  for (const Row& row : rows) {
    const std::vector<Ends> pairs = pair_up(row.value, all, full);
    if (pairs.empty()) continue;
    std::vector<double> numbers;
    for (std::size_t i = 0; i < used_pairs(pairs, 0.95); ++i) {
      if (std::isfinite(pairs[i].by_the_clock)) numbers.push_back(pairs[i].by_the_clock);
    }
    if (numbers.empty()) continue;  // a formula that found nothing, such as a crossing of two curves
    const double value = median(numbers);
    std::string predicted;
    for (const auto& [question, answer] : predictions) {
      if (question == row.ask) predicted = "   you predicted " + answer;
    }
    out += fmt::format("  {:<{}}  {:>12}{}\n", row.name, widest,
                       row.unit.empty()                    ? time(value)
                       : row.unit.find_first_of("x ") == 0 ? figure(value, row.unit)
                                                           : figure(value, " " + row.unit),
                       predicted);
  }
  return out.empty() ? "" : "\nMedians of the calmest rounds\n" + out;
}

std::string floor_lines(const std::vector<FloorResult>& floors) {
  std::string out;
  for (const FloorResult& f : floors) {
    if (out.empty())
      out =
          "\nDistance from the floor (a floor: the least this machine can charge for the same protocol, bare system "
          "calls or instructions)\n";
    if (!f.ratio) {
      out += fmt::format("  {}: not measured beside {}\n", f.mechanism, f.floor);
    } else {
      out += fmt::format("  {}: {:.2f}x of {}", f.mechanism, *f.ratio, f.floor);
      out += f.low ? fmt::format(" [{:.2f}, {:.2f}]\n", *f.low, *f.high) : " (too few rounds for an interval)\n";
    }
  }
  return out;
}

std::string as_benchmark_output(const std::vector<Measurement>& measurements, const std::string& format) {
  std::ostringstream out, talk;  // talk: the library's remarks about itself
  std::vector<Run> runs;
  const std::vector<Measurement> evident = with_evidence(measurements);
  const std::vector<Measurement> shown = format == "console" ? medians(evident) : evident;
  int rounds = 0;
  for (const Measurement& m : measurements) rounds = std::max(rounds, m.round + 1);
  for (const Measurement& m : shown) runs.push_back(as_run(m, rounds));

  std::unique_ptr<benchmark::BenchmarkReporter> reporter;
  if (format == "json") reporter = std::make_unique<benchmark::JSONReporter>();
  if (format == "console")
    reporter = std::make_unique<benchmark::ConsoleReporter>(benchmark::ConsoleReporter::OO_Tabular);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  if (format == "csv") reporter = std::make_unique<benchmark::CSVReporter>();
#pragma GCC diagnostic pop
  reporter->SetOutputStream(&out);
  reporter->SetErrorStream(&talk);
  benchmark::BenchmarkReporter::Context context;
  context.name_field_width = 10;  // the library leaves it unset
  for (const Run& run : runs)
    context.name_field_width = std::max(context.name_field_width, run.benchmark_name().size());
  reporter->ReportContext(context);
  reporter->ReportRuns(runs);
  reporter->Finalize();
  return out.str();
}

Progress::Progress(std::string name) : name_(std::move(name)), terminal_(::isatty(STDERR_FILENO)) {}

Progress::~Progress() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::show(double done, double seconds_left) {
  if (!terminal_) return;
  if (done < 1) {
    say("\r\033[K{}: {:.0f} %, about {:.0f} s left", name_, 100 * done, std::max(seconds_left, 1.0));
  } else {
    say("\r\033[K{}: more rounds, for the machine is disturbed, at most {:.0f} s", name_, std::max(seconds_left, 1.0));
  }
  std::fflush(stderr);
}

}  // namespace lab
