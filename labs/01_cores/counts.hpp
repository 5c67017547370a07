// How many CPUs? It depends on whom you ask, and what you mean.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/machine/cores.hpp"

namespace lab::cores {

/// The answers to the different questions, side by side: {"CPUs running now (os.cpu_count)", "8"}.
std::vector<std::pair<std::string, std::string>> counts(const Machine&);

/// The same as text, a line an answer.
std::string counts_table(const Machine&);

/// True when two of the answers differ, so that a program which asks the wrong question starts the wrong number of workers.
bool counts_differ(const Machine&);

/// The cores this process may use: "package 0: core 0: cpu 0 cpu 4; core 1: cpu 1 cpu 5", a line a package.
std::string drawing(const Machine&);

/// The smallest multiple of the workers that is no less than `least`: with it every worker gets the same number of
/// jobs, and a time says something about the cores and nothing about left-overs.
int divisible_jobs(int least, int workers);

}  // namespace lab::cores
