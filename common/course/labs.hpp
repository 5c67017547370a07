// The list of labs and what this machine's records say of them.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/harness/record.hpp"

namespace lab::course {

/// Where things are: folders NN_name, their executables, and this machine's records (results/<machine>).
struct House {
  std::filesystem::path labs = "labs", bin = "build/bin", records;
};

struct Lab {
  int number = 0;
  std::string name;   ///< "02_gil"
  std::string title;  ///< from the first heading of its README.md, "# Lab 02 · The interpreter lock"
  std::filesystem::path executable, record_file;
  std::optional<Record> record;  ///< none: not run yet, or damaged
  std::string damage;            ///< a sentence about a record that cannot be read; empty otherwise
};

/// True for "02_gil".
bool names_a_lab(const std::string& folder);

/// The labs in numeric order, each with its record. Throws std::invalid_argument when there is no folder of labs.
std::vector<Lab> find_labs(const House&);

/// How many claims were held, not held, can't tell, needs: in this order.
using Verdicts = std::array<int, 4>;
inline constexpr std::array verdict_names{"held", "not held", "can't tell", "needs"};
Verdicts count_verdicts(const Record&);
/// "5 held, 1 not held"; what counts nothing is left out.
std::string describe(const Verdicts&);

/// "lab-02": what `make` calls this lab.
std::string make_target(const Lab&);

/// Writes the sentences about damaged records to stderr; true when there are any.
bool report_damage(const std::vector<Lab>&);

/// All lines of a file, without their ends. Throws std::runtime_error that names it when it cannot be read.
std::vector<std::string> read_lines(const std::filesystem::path&);

}  // namespace lab::course
