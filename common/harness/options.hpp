// The command line of a lab.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/harness/lab.hpp"

namespace lab {

struct CommandLine : Options {
  std::string out, filter, format = "console", benchmark_out, benchmark_out_format = "json", show;
  int rounds = 0;  // 0: what the size says
  unsigned seed = 0;
  bool answered = false;  // --help or --version: there is nothing left to do
  bool list_claims = false, list_variants = false, details = false;
  std::optional<bool> trace, predict;  // none: not said
  std::set<std::string> given;         // of the lab's own options
  std::string part;                    // internal: "fd,rounds,name" of one of --full's fresh processes
  std::vector<char*> library;          // flags handed to Google Benchmark
};

/// Takes the lab's options and Google Benchmark's flags from argv; answers --help and --version. Throws BadOption.
CommandLine parse_command_line(int argc, char** argv, const std::string& name, Experiment experiment,
                               const std::vector<Option>& own);

/// The variants whose name matches --benchmark_filter (extended regular expression, a leading '-' inverts). Throws
/// BadOption when it is none, or no regular expression.
std::vector<Variant> choose(std::vector<Variant> variants, std::string filter);

}  // namespace lab
