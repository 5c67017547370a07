// The commands of the small program `course`: what stands around the labs and is neither a measurement nor a figure.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "common/course/labs.hpp"

namespace lab::course {

/// What `make` prints: the labs by part, what was done, the verdicts, what is next. At most 100 columns wide.
std::string menu(const std::vector<Lab>&);

/// The scoreboard as Markdown: counts, machine, then each lab's claims and floors. `machine` is its id.
std::string scoreboard(const std::vector<Lab>&, const std::string& machine);

/// The same in a line a lab, and a line for each claim that was not held or could not be told.
std::string scoreboard_in_short(const std::vector<Lab>&, const std::string& machine);

/// Writes scoreboard.md beside the records, whole or not at all, and prints it in short. Returns 1, and leaves an older
/// scoreboard as it is, when a record is damaged.
int write_scoreboard(const House&);

/// Prints docs/claims.md: what each lab's executable says to --claims on a stand-in machine, the same wherever it is made.
/// Returns 0, or 77 when a lab was not built. Throws std::runtime_error that names a lab that fails.
int print_claims(const House&);

struct Limits {
  std::chrono::milliseconds lab = std::chrono::minutes(10);   ///< a lab that takes longer hangs, and is killed
  std::chrono::milliseconds stop = std::chrono::seconds(10);  ///< what it has to end after Ctrl-C before it is killed
};

/// Runs every lab in order, then writes the scoreboard. stdin of the labs is empty: nothing is asked. Returns 0; 1 when
/// a lab failed (the others are run all the same); 128 + signal after SIGINT, SIGTERM or SIGHUP, with no process left
/// behind.
int run(const House&, const std::vector<std::string>& lab_arguments, Limits = {});

/// Probes what decides whether timings on this machine mean anything, a line a finding; changes nothing. Returns 0.
int doctor();

/// Where the project at `root` breaks the rules of its own house: layers, the parts and the length of each lab, dead links.
std::vector<std::string> inspect(const std::filesystem::path& root);

/// Inspects the project at `root` and prints the outcome. Returns 1 when a rule is broken.
int check(const std::filesystem::path& root);

}  // namespace lab::course
