// What a lab tells its user: verdicts, medians, floors, progress.
#pragma once

#include <string>
#include <vector>

#include "common/harness/claims.hpp"
#include "common/harness/lab.hpp"
#include "common/harness/rounds.hpp"

namespace lab {

/// A claim's verdict in two lines: verdict, text, estimate, interval, band, valid rounds; then the book's figure and the reason.
std::string verdict_lines(const Claim& claim, const ClaimResult& result);

/// The book's own figure for a claim that has a book: "book 3.6 to 3.9x (source)"; without a figure the source alone.
std::string published(const Claim& claim);

/// The table a person reads first: name, value, prediction. A row that was not measured is left out.
std::string row_lines(const std::vector<Row>& rows, const Predictions& predictions,
                      const std::vector<Measurement>& all);

/// "1.1x of its floor" lines, with the word floor explained.
std::string floor_lines(const std::vector<FloorResult>& floors);

/// The band in words: "0.98 to 1.02", "at most 1.05", "at least 5".
std::string band_in_words(const ClaimResult& result);

/// All rounds, as Google Benchmark's own reporters print them: "json", "csv" or "console" (one median a variant).
std::string as_benchmark_output(const std::vector<Measurement>& measurements, const std::string& format);

/// One moving line on stderr when that is a terminal, nothing otherwise.
class Progress {
 public:
  explicit Progress(std::string name);
  ~Progress();
  void show(double done, double seconds_left);

 private:
  std::string name_;
  bool terminal_;
};

}  // namespace lab
