#include "common/harness/report.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/harness/testing.hpp"

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

lab::ClaimResult result() {
  return {.id = "raw.free",
          .kind = "ratio",
          .text = "A poll costs nothing",
          .source = "the book",
          .band_low = 0.98,
          .band_high = 1.02,
          .estimate = 1.0044,
          .low = 1.0012,
          .high = 1.0079,
          .used_rounds = 14,
          .rounds = 15,
          .verdict = "held",
          .reason = "nobody writes the line"};
}

TEST(Band, IsSaidInWords) {
  lab::ClaimResult r{.band_low = 0.98, .band_high = 1.02};
  EXPECT_EQ(lab::band_in_words(r), "0.98 to 1.02");
  r.band_low.reset();
  EXPECT_EQ(lab::band_in_words(r), "at most 1.02");
  r = {.band_low = 5};
  EXPECT_EQ(lab::band_in_words(r), "at least 5");
  EXPECT_EQ(lab::band_in_words({}), "");
}

TEST(Verdict, IsTwoLines) {
  lab::Claim claim{.book = lab::Book{1.33, 1.57, "the book"}};
  EXPECT_EQ(lab::verdict_lines(claim, result()),
            "held       A poll costs nothing: 1.004x [1.001, 1.008], band 0.98 to 1.02, 14 of 15 rounds\n"
            "           book 1.330 to 1.570x (the book) · nobody writes the line\n");
  claim.book = lab::Book{2, 2, "the book"};
  EXPECT_TRUE(contains(lab::verdict_lines(claim, result()), "           book 2.000x (the book) · "));
  claim.book = lab::Book{0, 0, "the book"};  // it published no number
  EXPECT_TRUE(contains(lab::verdict_lines(claim, result()), "\n           nobody writes the line\n"));
  claim.unit = " us";
  EXPECT_TRUE(contains(lab::verdict_lines(claim, result()), "1.004 us ["));
}

TEST(Verdict, SaysWhatThereIs) {
  lab::ClaimResult r = result();
  r.low.reset();
  r.high.reset();
  r.verdict = "can't tell";
  EXPECT_TRUE(contains(lab::verdict_lines({}, r),
                       "can't tell A poll costs nothing: 1.004x, band 0.98 to 1.02, 14 of 15 rounds\n"));
  const lab::ClaimResult fact{.kind = "fact", .text = "Updates are lost", .verdict = "not held", .reason = "3 of 4"};
  EXPECT_EQ(lab::verdict_lines({}, fact), "not held   Updates are lost\n           3 of 4\n");
  const lab::ClaimResult needs{.text = "No more throughput", .verdict = "needs", .reason = "needs hardware threads"};
  EXPECT_EQ(lab::verdict_lines({}, needs), "not testable here: needs hardware threads          No more throughput\n");
}

TEST(Floors, AreExplainedOnce) {
  EXPECT_EQ(lab::floor_lines({}), "");
  const std::string text = lab::floor_lines(
      {{"pipe", "write", 1.234, 1.1, 1.3}, {"queue", "ring", {}, {}, {}}, {"map", "ring", 2.0, {}, {}}});
  EXPECT_EQ(text.find("a floor:"), text.rfind("a floor:"));
  EXPECT_TRUE(contains(text, "  pipe: 1.23x of write [1.10, 1.30]\n")) << text;
  EXPECT_TRUE(contains(text, "  queue: not measured beside ring\n")) << text;
  EXPECT_TRUE(contains(text, "  map: 2.00x of ring (too few rounds for an interval)\n")) << text;
}

std::vector<lab::Measurement> measurements(int rounds) {
  std::vector<lab::Measurement> all;
  for (int r = 0; r < rounds; ++r) {
    all.push_back({.variant = "equal_jobs/workers:2",
                   .round = r,
                   .iterations = 10,
                   .seconds = 1e-3 * (r + 1),
                   .cpu_seconds = 2e-3,
                   .counters = {{"workers", 2}}});
    all.push_back({.variant = "serial",
                   .round = r,
                   .iterations = 5,
                   .seconds = 4e-3,
                   .cpu_seconds = 4e-3,
                   .counters = {{"speed", 0.5}},
                   .wrong = "said \"no\", twice"});
  }
  return all;
}

std::size_t lines_with(const std::string& text, const std::string& part) {
  std::istringstream in(text);
  std::size_t found = 0;
  for (std::string line; std::getline(in, line);) found += contains(line, part);
  return found;
}

TEST(Output, AsJsonIsTheLibrarys) {
  for (const int rounds : {0, 1, 40})
    EXPECT_TRUE(nlohmann::json::accept(lab::as_benchmark_output(measurements(rounds), "json"))) << rounds;
  const std::string json = lab::as_benchmark_output(measurements(2), "json");
  for (const char* part :
       {"\"context\"", "\"name\": \"equal_jobs/workers:2\"", "\"run_name\": \"equal_jobs/workers:2\"",
        "\"run_type\": \"iteration\"", "\"repetitions\": 2", "\"repetition_index\": 1", "\"iterations\": 10",
        "\"real_time\": 2.0000000000000000e+06", "\"time_unit\": \"ns\"", "\"workers\": 2.0000000000000000e+00",
        "\"label\": \"said \\\"no\\\", twice\""}) {
    EXPECT_TRUE(contains(json, part)) << part << "\n" << json;
  }
}

TEST(Output, AsCsvHasOneLineAMeasurement) {
  EXPECT_EQ(lines_with(lab::as_benchmark_output(measurements(40), "csv"), "equal_jobs/workers:2"), 40u);
  EXPECT_EQ(lines_with(lab::as_benchmark_output(measurements(1), "csv"), "serial"), 1u);
  EXPECT_EQ(lines_with(lab::as_benchmark_output({}, "csv"), "serial"), 0u);
}

TEST(Output, AsConsoleHasTheMedianOfTheRounds) {
  std::vector<lab::Measurement> all = measurements(4);
  all[0].counters.erase("workers");  // some rounds lack a counter
  all[2].counters.erase("workers");
  const std::string text = lab::as_benchmark_output(all, "console");
  EXPECT_EQ(lines_with(text, "equal_jobs/workers:2"), 1u) << text;
  EXPECT_EQ(lines_with(text, "2500000 ns"), 1u) << text;  // of 1, 2, 3, 4 ms
  EXPECT_TRUE(contains(text, "pace_low") && contains(text, " workers\n")) << text;
  EXPECT_EQ(lines_with(text, "serial"), 1u) << text;
  EXPECT_FALSE(contains(text, "DEBUG")) << "the library's remarks about itself are no result";
  EXPECT_EQ(lines_with(lab::as_benchmark_output({}, "console"), "serial"), 0u);
}

}  // namespace
