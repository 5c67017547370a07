// The command line of the labs that verify a prime.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <string_view>
#include <utility>

#include "common/harness/lab.hpp"
#include "common/machine/cores.hpp"
#include "common/os/clock.hpp"
#include "verify.hpp"

namespace lab::verify {

/// What was said on the command line.
inline std::string number, by, every = "1000", pace;

/// The pace at which a lab measures when --pace says nothing; --number is then verified at the native one.
inline const char* measured_pace = "native";

/// The options of these labs. `variants`: what --by may name; the first is taken unless another is.
inline std::vector<Option> choices(std::vector<std::string> variants) {
  by = variants.front();
  return {
      {"--number", "a number to be verified: measures nothing, and says whether it is prime", &number},
      {"--by", "by which variant --number is verified", &by, std::move(variants)},
      {"--every", "candidates from one poll of the flag to the next", &every},
      {"--pace",
       "native, or python: about 75 ns a candidate (to measure: " + std::string(measured_pace) + "; --number: native)",
       &pace,
       {"native", "python"}}};
}

/// A whole number from `least` to 2^64 - 1. Throws BadOption.
inline std::uint64_t whole(std::string_view option, std::string_view text, std::uint64_t least) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least)
    throw BadOption(fmt::format("{} '{}': a whole number from {} to {} is wanted", option, text, least, never));
  return value;
}

/// Counts of busy_wait that make a candidate last 75 ns: the best of a few tries, for others may run here.
inline std::uint64_t python_counts() {
  constexpr std::uint64_t counts = 300'000, candidates = 100'000;
  double count_ns = 1e9, candidate_ns = 1e9;
  NoFlag none;
  for (int tries = 0; tries < 5; ++tries) {
    const std::int64_t begin = now_ns();
    busy_wait(counts);
    const std::int64_t middle = now_ns();
    search(numbers::small_prime, {3, 2 * candidates + 3}, never, none);
    count_ns = std::min(count_ns, double(middle - begin) / double(counts));
    candidate_ns = std::min(candidate_ns, double(now_ns() - middle) / double(candidates));
  }
  return static_cast<std::uint64_t>(std::max(75 - candidate_ns, 1.0) / count_ns);
}

/// What the options ask for: one worker a core, unless --workers says otherwise. Throws BadOption.
inline Verification verification(const Options& options, std::uint64_t n) {
  if (options.workers.size() > 1)
    throw BadOption("--workers: this lab takes one number of workers in a run, not a list");
  return {.n = n,
          .workers = options.workers.empty() ? machine().workers() : static_cast<int>(options.workers.front()),
          .every = whole("--every", every, 1),
          .counts = (pace.empty() && number.empty() ? measured_pace : pace) == "python" ? python_counts() : 0};
}

/// "N is prime", "N is divisible by F" or, of 0 and 1, "N is not prime".
inline std::string sentence(std::uint64_t n, std::uint64_t factor) {
  if (factor) return fmt::format("{} is divisible by {}", n, factor);
  return fmt::format("{} is {}prime", n, n < 2 ? "not " : "");
}

/// A variant's name and how it finds a factor, or 0.
using Variants = std::vector<std::pair<std::string, std::function<std::uint64_t(const Verification&)>>>;

/// For Lab::instead: with --number verifies it by the variant that --by names and prints the sentence; else empty.
inline std::function<int()> answer(const Options& options, Variants variants) {
  if (number.empty()) return {};
  const Verification asked = verification(options, whole("--number", number, 0));
  return [asked, variants = std::move(variants)] {
    for (const auto& [name, find] : variants) {
      if (name == by) fmt::print("{}\n", sentence(asked.n, find(asked)));
    }
    return 0;
  };
}

}  // namespace lab::verify
