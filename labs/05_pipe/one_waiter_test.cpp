#include "one_waiter.hpp"

#include <gtest/gtest.h>

namespace lab::pipe {
namespace {

TEST(OneWaiter, TakesEverythingAndSeesEveryEnd) {
  const Served served = serve_pipes_and_sentinels(8, 2, 50);
  EXPECT_EQ(served.messages, 8 * 50);
  EXPECT_EQ(served.ends, 8);
  EXPECT_EQ(served.sentinels, 2);
  EXPECT_LE(served.waits, 8 * 51 + 2) << "every wait but the last found something";
}

}  // namespace
}  // namespace lab::pipe
