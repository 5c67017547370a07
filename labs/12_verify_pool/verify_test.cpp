#include "verify.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

#include "answer.hpp"
#include "common/os/mapping.hpp"
#include "common/os/team.hpp"
#include "test_numbers.hpp"

namespace {

using namespace lab;
using namespace lab::verify;

/// The plainest flag there is.
struct Byte {
  Shared<std::atomic<bool>> up{false};
  bool raised() const { return *up; }
  void raise() { *up = true; }
  void clear() { *up = false; }
};

bool prime_by_everything(std::uint64_t n) {
  for (std::uint64_t d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return n >= 2;
}

void expect_right(std::uint64_t n, const Verification& plan, bool prime) {
  Byte flag;
  Verification asked = plan;
  asked.n = n;
  const std::uint64_t factor = find_factor(asked, flag);
  EXPECT_EQ(factor == 0, prime || n < 2) << n << " by " << plan.workers << " workers, every " << plan.every;
  if (factor) {
    EXPECT_EQ(n % factor, 0u) << n;
    EXPECT_TRUE(1 < factor && factor < n) << n << " by " << factor;
  }
}

TEST(Verify, SmallNumbers) {
  for (std::uint64_t n = 0; n < 300; ++n) expect_right(n, {.workers = 3, .every = 1}, prime_by_everything(n));
}

TEST(Verify, NumbersOfAllKindsByAnyNumberOfWorkers) {
  for (const Case& c : kCases) {
    for (const int workers : {1, 2, 3, 7, 64}) expect_right(c.n, {.workers = workers, .every = 1000}, c.prime);
    expect_right(c.n, {.workers = 2, .every = 1}, c.prime);
    expect_right(c.n, {.workers = 2, .every = never}, c.prime);
  }
  expect_right(numbers::small_non_prime_2, {.workers = 2, .every = 1000, .counts = 5}, false);
}

TEST(Verify, AnIdealFlagStopsAtTheBooksFractions) {
  const auto [n1, f1] = std::pair(numbers::expensive_non_prime_1, 95362951);
  const auto [n2, f2] = std::pair(numbers::expensive_non_prime_2, 171656941);
  EXPECT_NEAR(stop_fraction(n1, f1, 1), 0.3014, 2e-4);
  EXPECT_NEAR(stop_fraction(n2, f2, 1), 0.5425, 2e-4);
  EXPECT_NEAR(stop_fraction(n1, f1, 2), 0.6028, 2e-4);
  EXPECT_NEAR(stop_fraction(n2, f2, 2), 0.0851, 2e-4);
  EXPECT_NEAR(stop_fraction(n1, f1, 4), 0.2056, 2e-4);
  EXPECT_NEAR(stop_fraction(n2, f2, 4), 0.1701, 2e-4);
  EXPECT_NEAR(stop_fraction(n1, f1, 8), 0.4112, 2e-4);
  EXPECT_NEAR(stop_fraction(n2, f2, 8), 0.3402, 2e-4);
}

TEST(Verify, ASlowFlagsPiecesAreCutShort) {
  const Verification all{.n = numbers::small_prime, .workers = 2, .every = 10};
  Verification some = all;
  some.most_polls = 100;
  ASSERT_EQ(pieces(some).size(), 2u);
  for (int w : {0, 1}) {
    EXPECT_EQ(pieces(some)[w].from, pieces(all)[w].from);
    EXPECT_EQ(pieces(some)[w].to, pieces(all)[w].from + 2000);
  }
  some.every = never / 4;
  EXPECT_EQ(pieces(some), pieces(all));
}

/// Is in a server, as it were: each worker makes a connection, and only through that it polls.
struct Remote {
  Shared<std::atomic<int>> connections{0};
  Byte byte;
  struct Connection {
    Byte& byte;
    bool raised() const { return byte.raised(); }
    void raise() { byte.raise(); }
  };
  Connection connect() {
    ++*connections;
    return {byte};
  }
  void clear() { byte.clear(); }
};
TEST(Verify, EveryWorkerConnectsOnce) {
  Remote flag;
  EXPECT_EQ(find_factor({.n = numbers::small_prime, .workers = 3}, flag), 0u);
  EXPECT_EQ(*flag.connections, 3);
}

/// The flag of a worker that is killed in the middle of its search, while others go on.
struct Deadly : Byte {
  Shared<std::atomic<int>> polls{0};
  bool raised() const {
    if (++*polls == 20) ::raise(SIGKILL);
    return false;
  }
};
TEST(Verify, AWorkerKilledInMidSearchIsASentenceAndStopsTheOthers) {
  Deadly flag;
  const Verification endless{.n = ~0ull - 58, .workers = 3, .every = 1000, .counts = 20};
  const auto begin = std::chrono::steady_clock::now();
  try {
    find_factor(endless, flag);
    FAIL() << "the search went on without its worker";
  } catch (const WorkerError& error) {
    EXPECT_NE(std::string(error.what()).find("signal 9"), std::string::npos) << error.what();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(Answer, IsASentence) {
  EXPECT_EQ(sentence(0, 0), "0 is not prime");
  EXPECT_EQ(sentence(1, 0), "1 is not prime");
  EXPECT_EQ(sentence(2, 0), "2 is prime");
  EXPECT_EQ(sentence(9, 3), "9 is divisible by 3");
}

TEST(Answer, RefusesWhatIsNoNumber) {
  EXPECT_EQ(whole("--number", "18446744073709551615", 0), ~0ull);
  for (const char* text : {"", " 7", "-1", "7x", "1e6", "0x10", "18446744073709551616"})
    EXPECT_THROW(whole("--number", text, 0), BadOption) << text;
  EXPECT_THROW(whole("--every", "0", 1), BadOption);
}

}  // namespace
