// The harness judged by its own means, on this machine, now: how often does it see a difference where there is none,
// and how often does it miss one of 10 %?
#include <fmt/format.h>

#include "common/harness/lab.hpp"
#include "common/kernels/busy_wait.hpp"
#include "common/os/say.hpp"

namespace {

constexpr std::uint64_t kCounts = 10'000'000;

void one_name(benchmark::State& state) {
  for (auto _ : state) lab::busy_wait(kCounts);
}
BENCHMARK(one_name)->Apply(lab::busy);

void another_name(benchmark::State& state) {
  for (auto _ : state) lab::busy_wait(kCounts);
}
BENCHMARK(another_name)->Apply(lab::busy);

void tenth_more(benchmark::State& state) {
  for (auto _ : state) lab::busy_wait(kCounts * 11 / 10);
}
BENCHMARK(tenth_more)->Apply(lab::busy);

struct Tally {
  int judged = 0, resolved = 0;
};

// Runs the pair anew, `runs` times, and counts how often the interval of its ratio leaves out 1.
Tally compare(const std::vector<lab::Variant>& all, const std::string& a, const std::string& b, int runs) {
  std::vector<lab::Variant> pair;
  for (const lab::Variant& v : all) {
    if (v.name == a || v.name == b) pair.push_back(v);
  }
  const lab::Claim claim{
      .id = "pair", .text = "the pair takes the same time", .measure = lab::ratio(a, b).within(1, 1)};
  Tally tally;
  for (int run = 0; run < runs; ++run) {
    const lab::Outcome outcome =
        lab::run_rounds(pair, claim.measure.points, {.seed = static_cast<unsigned>(lab::now_ns())});
    const lab::ClaimResult result = lab::judge(claim, outcome.measurements, std::nullopt);
    if (!result.low) continue;
    ++tally.judged;
    tally.resolved += *result.low > 1 || *result.high < 1;
    lab::say("\r{} against {}: {} of {} runs, {} seen as different ", a, b, run + 1, runs, tally.resolved);
  }
  lab::say("\n");
  return tally;
}

}  // namespace

int main() {
  const std::vector<lab::Variant> variants = lab::list_variants({});
  const Tally same = compare(variants, "one_name", "another_name", 100);
  const Tally apart = compare(variants, "tenth_more", "one_name", 20);
  fmt::print(
      "one variant under two names: seen as different in {} of {} judged runs (of 100; at most 9 are expected)\n",
      same.resolved, same.judged);
  fmt::print("a true difference of 10 %: found in {} of {} judged runs (of 20; at least 19 of 20 are expected)\n",
             apart.resolved, apart.judged);
  if (same.judged < 50 || apart.judged < 10) {
    fmt::print(
        "Too few runs gave an interval: this machine is not quiet now. Try again later; make doctor says what is "
        "going on.\n");
    return 0;
  }
  const bool good = same.resolved * 100 <= 9 * same.judged && apart.resolved * 20 >= 19 * apart.judged;
  fmt::print("{}\n", good ? "Verdicts can be trusted here." : "Verdicts cannot be trusted here, as things are.");
  return good ? 0 : 1;
}
