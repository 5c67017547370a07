// A lab's result on disk: Google Benchmark's JSON plus a versioned "lab" object.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lab {

/// The answer to one claim. kind: "ratio", "model" or "fact"; verdict: "held", "not held", "can't tell" or "needs".
struct ClaimResult {
  std::string id, kind, text, source;
  std::string unit = "x";                     ///< of band and interval: "x", " MiB"
  std::optional<double> band_low, band_high;  ///< none: open on that side, or a fact
  std::optional<double> estimate, low, high;  ///< median and interval; none for a fact
  int used_rounds = 0, rounds = 0;            ///< of these measured, the calmest
  std::string verdict, reason;
};

/// How far a mechanism is from the least the machine can charge: the median of the paired ratios and its interval.
struct FloorResult {
  std::string mechanism, floor;
  std::optional<double> ratio, low, high;
};

/// Questions asked before the run, and what was answered; those that were skipped are left out.
using Predictions = std::vector<std::pair<std::string, std::string>>;

struct Record {
  std::string name;   ///< "02_gil"
  std::string title;  ///< "The interpreter lock"
  std::string size;   ///< "quick", "normal" or "full"
  std::string date;   ///< ISO 8601, UTC
  std::vector<ClaimResult> claims;
  std::vector<FloorResult> floors;
  std::vector<std::pair<std::string, std::optional<std::string>>> environment;
  Predictions predictions;
  std::vector<std::pair<std::string, std::string>> tables;  ///< what a lab printed that is no time: name, text
  std::string benchmark_json;  ///< what Google Benchmark's JSONReporter wrote: context and benchmarks
};

/// Reads one record; the measurements stay text in benchmark_json. Throws std::runtime_error with a sentence that names the
/// file when it is missing, damaged, or of another schema.
Record read_record(const std::filesystem::path&);

/// The record as one JSON document (UTF-8, no NaN or infinity: such a number becomes null).
std::string to_json(const Record&);

/// Writes text whole or not at all: a temporary file, fsync, rename. Creates missing parent folders.
/// Throws std::system_error that names the path.
void write_whole(const std::filesystem::path&, const std::string& text);

}  // namespace lab
