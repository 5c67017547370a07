// The command line of a lab.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "common/harness/lab.hpp"

namespace lab {

/// Words on the command line that cannot be followed: status 2.
struct BadOption : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string size = "normal";
  std::string workers, out, filter, format = "console", benchmark_out, benchmark_out_format = "json", show;
  int rounds = 0;  // 0: what the size says
  unsigned seed = 0;
  bool answered = false;  // --help or --version: there is nothing left to do
  bool trace = true, list_claims = false, list_variants = false, has_predict = false, predict = false;
  std::string part;            // internal: "fd,rounds,name" of one of --full's fresh processes
  std::vector<char*> library;  // flags handed to Google Benchmark
};

/// Takes the lab's options and Google Benchmark's flags from argv; answers --help and --version. Throws BadOption.
Options parse_options(int argc, char** argv, const std::string& name, const Lab& lab);

/// The variants whose name matches --benchmark_filter (extended regular expression, a leading '-' inverts). Throws
/// BadOption when it is none, or no regular expression.
std::vector<Variant> choose(std::vector<Variant> variants, std::string filter);

}  // namespace lab
