#include "torn_writes.hpp"

#include <gtest/gtest.h>

namespace lab::pipe {
namespace {

TEST(TornWrites, UpToTheAtomicSizeEveryMessageIsWhole) {
  for (const std::size_t frame : {std::size_t{64}, kAtomic}) {
    const TornWrites seen = two_writers(frame, 1000);
    EXPECT_FALSE(seen.torn) << frame;
    EXPECT_EQ(seen.whole, 2000) << frame;
  }
}

TEST(TornWrites, LargerMessagesTear) {
  const Deadline deadline = Clock::now() + std::chrono::seconds(30);
  bool torn = false;
  while (!torn && Clock::now() < deadline) torn = two_writers(5 * kAtomic, 500).torn;
  EXPECT_TRUE(torn);
}

}  // namespace
}  // namespace lab::pipe
