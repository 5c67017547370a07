#include "sentinels.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <set>

#include "common/os/test_child.hpp"
#include "demonstrations.hpp"

namespace lab::queues {
namespace {

template <class Queue>
class Sentinels : public testing::Test {};
using Number = Message<std::uint64_t>;
using All = testing::Types<SimpleQueue<Number>, Queue<Number>, JoinableQueue<Number>, Packets<Number>, Ring<Number>>;
TYPED_TEST_SUITE(Sentinels, All);

// All results are there with the last acknowledgement, each once: of more than the channels hold, and of none at all.
TYPED_TEST(Sentinels, TheLastAcknowledgementComesAfterEveryResult) {
  for (const int workers : {1, 2, 3, 8}) {
    for (const std::uint64_t count : {0u, 1u, 7000u}) {
      TypeParam jobs, results;
      std::vector<std::uint64_t> items(count);
      std::iota(items.begin(), items.end(), 0);
      const auto part = [&](int who) {
        return run_with_sentinels<std::uint64_t, std::uint64_t>(who, workers, jobs, results, items,
                                                                [](std::uint64_t n) { return Number(2 * n); });
      };
      std::vector<pid_t> pids;
      for (int who = 1; who <= workers; ++who) pids.push_back(start_worker([&, who] { part(who); }));
      const auto got = part(0);
      EXPECT_EQ(got.size(), count) << workers << " workers";
      EXPECT_EQ(std::set(got.begin(), got.end()).size(), count) << workers << " workers";
      for (const pid_t pid : pids) EXPECT_EQ(end_of(pid), "status 0");
    }
  }
}

TEST(Demonstrations, SayWhatTheyMust) {
  job_range = {100'000'000, 100'001'000};
  primes_among_them = count_primes(job_range);
  for (auto* seen : {nothing_is_lost, feeder_repairs, a_killed_consumer_costs_one}) {
    const Seen said = seen();
    EXPECT_TRUE(said.holds) << said.what;
  }
  testing::internal::CaptureStdout();
  show_join_before_drain();
  show_killed_reader();
  const std::string shown = testing::internal::GetCapturedStdout();
  for (const char* line : {"then get: fits into the pipe               ends",
                           "join, then get                                          waits for ever",
                           "the repair                              ends", "although an item is there",
                           "RingQueue, whose lock is robust              got 1"})
    EXPECT_NE(shown.find(line), std::string::npos) << line << "\n" << shown;
}

}  // namespace
}  // namespace lab::queues
