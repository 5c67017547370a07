#include "amdahl.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "common/os/team.hpp"

namespace lab::cores {
namespace {

TEST(Amdahl, WithoutASerialShareEveryWorkerCounts) {
  for (const int p : {1, 2, 16, 1000}) EXPECT_DOUBLE_EQ(amdahl(0, p), p);
  EXPECT_TRUE(std::isinf(amdahl_ceiling(0)));
}

TEST(Amdahl, AllSerialIsNoFasterForAnyNumber) {
  for (const int p : {1, 2, 16, 1000}) EXPECT_DOUBLE_EQ(amdahl(1, p), 1);
}

TEST(Amdahl, KnownValues) {
  EXPECT_DOUBLE_EQ(amdahl(0.5, 2), 4.0 / 3);
  EXPECT_DOUBLE_EQ(amdahl(0.25, 4), 16.0 / 7);
  EXPECT_DOUBLE_EQ(amdahl(0.05, 8), 160.0 / 27);
  EXPECT_DOUBLE_EQ(amdahl_ceiling(0.05), 20);
}

TEST(Amdahl, GrowsWithTheWorkersButNeverThroughTheCeiling) {
  for (const double s : {0.05, 0.25, 0.5}) {
    for (int p = 1; p < 1'000'000; p *= 3) {
      EXPECT_LT(amdahl(s, p), amdahl(s, 3 * p));
      EXPECT_LT(amdahl(s, 3 * p), amdahl_ceiling(s));
    }
  }
}

// What all workers of one job say they counted, in this many rounds of it.
std::uint64_t counted(Vehicle vehicle, std::uint64_t counts, int percent, int workers, int rounds = 1) {
  const Shared<std::atomic<std::uint64_t>> serial_parts_done(0u);
  SerialShareJob job(counts, percent, workers, *serial_parts_done);
  const auto reports = run_team({.size = workers, .vehicle = vehicle}, [job, rounds](int worker) mutable {
    std::uint64_t done = 0;
    for (int round = 0; round < rounds; ++round) done += job(worker);
    return done;
  });
  EXPECT_EQ(serial_parts_done->load(), static_cast<std::uint64_t>(rounds)) << "the serial part is done once a round";
  return std::accumulate(reports.begin(), reports.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Report& r) { return sum + r.answer; });
}

TEST(SerialShareJob, EveryCountIsWorkedOffOnce) {
  for (const int percent : {0, 5, 25, 50, 100}) {
    for (const int workers : {1, 2, 4}) {
      EXPECT_EQ(counted(Vehicle::processes, 40'000, percent, workers), 40'000u)
          << percent << " %, " << workers << " workers";
    }
  }
}

TEST(SerialShareJob, DoesSoInEveryRound) { EXPECT_EQ(counted(Vehicle::processes, 1000, 50, 2, 200), 200'000u); }

TEST(SerialShareJob, ThreadsDoTheSame) {
  EXPECT_EQ(counted(Vehicle::threads, 1000, 50, 3, 50), 49'900u) << "500 + 3 * 166 a round";
}

TEST(SerialShareJob, NobodyIsDoneBeforeTheSerialPart) {
  // In a job that is all serial the others have nothing to do but wait: had they not waited, they would end at once,
  // long before worker 0, whose part takes milliseconds.
  const Shared<std::atomic<std::uint64_t>> serial_parts_done(0u);
  SerialShareJob job(20'000'000, 100, 3, *serial_parts_done);
  const auto reports =
      run_team({.size = 3, .vehicle = Vehicle::processes}, [job, done = &*serial_parts_done](int worker) mutable {
        const std::uint64_t own = job(worker);
        return own + (done->load() == 1 ? 1 : 0);  // seen right after: the serial part was done
      });
  EXPECT_EQ(reports[0].answer, 20'000'001u);
  EXPECT_EQ(reports[1].answer, 1u);
  EXPECT_EQ(reports[2].answer, 1u);
}

TEST(SerialShareJob, TheNextRoundWaitsForItsOwnSerialPart) {
  // Worker 1 is alone here and two parts were done: its third round must wait for a third, which comes from another
  // worker.
  const Shared<std::atomic<std::uint64_t>> serial_parts_done(2u);
  SerialShareJob job(100, 50, 2, *serial_parts_done);
  const auto reports =
      run_team({.size = 2, .vehicle = Vehicle::processes}, [job, done = &*serial_parts_done](int worker) mutable {
        if (worker == 0) {
          busy_wait(20'000'000);
          done->fetch_add(1);
          return std::uint64_t{0};
        }
        for (int round = 0; round < 3; ++round) job(1);
        return done->load();
      });
  EXPECT_EQ(reports[1].answer, 3u);
}

}  // namespace
}  // namespace lab::cores
