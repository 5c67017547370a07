#include "manager_value.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "common/kernels/primes.hpp"
#include "common/os/test_child.hpp"
#include "experiments.hpp"
#include "facts.hpp"
#include "labs/12_verify_pool/test_numbers.hpp"

namespace lab::manager_value {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// ---- the lesson --------------------------------------------------------------------------------------------------------

TEST(ValueServer, WhoeverConnectsSeesWhatOthersSet) {
  const ValueServer server(7);
  Connection here = server.connect();
  EXPECT_EQ(here.get(), 7);
  run_team({.size = 3}, [&](int worker) {
    Connection mine = server.connect();
    if (worker == 0) mine.set(std::int64_t{-1} << 62);
    return 0;
  });
  EXPECT_EQ(here.get(), std::int64_t{-1} << 62);
  here.add(1);
  EXPECT_EQ(server.connect().get(), (std::int64_t{-1} << 62) + 1);
}

TEST(ValueServer, ASilentClientAndOneThatBabblesDelayNobody) {
  const ValueServer server(3);
  const Descriptor silent = connect_to(server.path()), slow = connect_to(server.path()),
                   babbles = connect_to(server.path());
  const std::array<std::byte, 5> half{};
  write_all(slow.get(), half);
  std::array<std::byte, sizeof(Message)> none;
  none.fill(std::byte{0xff});
  write_all(babbles.get(), none);
  EXPECT_EQ(read_full(babbles.get(), none, soon()), 0u) << "it was answered";
  EXPECT_EQ(server.connect().get(), 3);
}

TEST(ValueServer, EndsWithItsObjectAndLeavesNothing) {
  std::string folder;
  pid_t pid = 0;
  std::optional<Connection> connection;
  {
    const ValueServer server;
    folder = fs::path(server.path()).parent_path();
    pid = server.server();
    connection = server.connect();
    EXPECT_EQ(connection->get(), 0);
  }
  EXPECT_TRUE(is_gone(pid));
  EXPECT_TRUE(childless());
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_EQ(end_of(start_child([&] {
              std::signal(SIGPIPE, SIG_IGN);
              try {
                connection->get();
              } catch (const std::exception&) {
                return;
              }
              throw std::runtime_error("somebody answers");
            })),
            "status 0");
}

TEST(ValueServer, EndsWhenItsMakerIsKilledAndLeavesNothing) {
  struct Seen {
    std::atomic<pid_t> server;
    std::array<char, 128> path;
  };
  const Shared<Seen> seen;
  EXPECT_EQ(end_of(start_child([&] {
              auto& server = *new ValueServer;
              server.path().copy(seen->path.data(), seen->path.size() - 1);
              seen->server = server.server();
              server.connect().get();
              ::raise(SIGKILL);
            })),
            "signal 9 (Killed)");
  EXPECT_TRUE(is_gone(seen->server));
  EXPECT_FALSE(fs::exists(fs::path(seen->path.data()).parent_path()));
}

// ---- the flags ---------------------------------------------------------------------------------------------------------

template <class Flag>
struct AnyFlag : testing::Test {};
using Flags = testing::Types<ValueFlag, ManagerFlag>;
TYPED_TEST_SUITE(AnyFlag, Flags);

// As lab 12's tests have them.
TYPED_TEST(AnyFlag, NumbersOfAllKindsByAnyNumberOfWorkers) {
  TypeParam flag;
  const auto expect_right = [&](const verify::Case& c, int workers, std::uint64_t every) {
    const std::uint64_t n = c.n, factor = verify::find_factor({.n = n, .workers = workers, .every = every}, flag);
    EXPECT_EQ(factor == 0, c.prime || n < 2) << n << " by " << workers << " workers, every " << every;
    EXPECT_TRUE(factor == 0 || (n % factor == 0 && 1 < factor && factor < n)) << n << " by " << factor;
  };
  for (std::uint64_t n = 0; n < 60; ++n) {
    bool prime = n >= 2;
    for (std::uint64_t d = 2; d * d <= n; ++d) prime &= n % d != 0;
    expect_right({n, prime}, 3, 1);
  }
  for (const verify::Case& c : verify::kCases) {
    for (const int workers : {1, 2, 3, 7}) expect_right(c, workers, 10'000);
    expect_right(c, 2, never);
  }
  expect_right({23ull * 29 * 601, false}, 2, 1);
  expect_right({8861, true}, 64, 1);
}

TYPED_TEST(AnyFlag, StopsASearchThatPollsIt) {
  TypeParam flag;
  const auto reports = run_team({.size = 2}, [&](int worker) {
    return verify::with_connection(flag, [&](auto& polled) {
      if (worker == 0) return polled.raise(), std::uint64_t{0};
      return search(~0ull - 58, {21, 1ull << 32}, 1000, polled).candidates;  // would take seconds
    });
  });
  EXPECT_LT(reports[1].answer, 1ull << 31);
}

pid_t server_of(const ValueFlag& flag) { return flag.server().server(); }
pid_t server_of(const ManagerFlag& flag) { return flag.server.server(); }
std::string folder_of(const ValueFlag& flag) { return fs::path(flag.server().path()).parent_path(); }
std::string folder_of(const ManagerFlag& flag) { return fs::path(flag.server.path()).parent_path(); }

// Kills the flag's server in the middle of a search.
template <class Flag>
struct Deadly {
  Flag flag;
  struct Polled {
    Deadly& own;
    int polls = 0;
    bool raised() {
      if (++polls == 20) ::kill(server_of(own.flag), SIGKILL);
      return verify::with_connection(own.flag, [](auto& polled) { return polled.raised(); });
    }
    void raise() {}
  };
  Polled connect() { return {*this}; }
  void clear() { flag.clear(); }
};
TYPED_TEST(AnyFlag, AServerKilledInMidSearchIsASentenceAndStopsTheWorkers) {
  std::string folder;
  {
    Deadly<TypeParam> flag;
    folder = folder_of(flag.flag);
    const auto begin = Clock::now();
    const verify::Verification endless{.n = ~0ull - 58, .workers = 3, .every = 1000, .counts = 20};
    EXPECT_THROW(verify::find_factor(endless, flag), WorkerError);
    EXPECT_LT(Clock::now() - begin, 5s);
  }
  EXPECT_TRUE(childless());
  EXPECT_FALSE(fs::exists(folder));
}

TYPED_TEST(AnyFlag, AWorkerKilledInMidSearchStopsTheOthersAndLeavesNothing) {
  std::string folder;
  {
    TypeParam flag;
    folder = folder_of(flag);
    const auto begin = Clock::now();
    EXPECT_THROW(run_team({.size = 3},
                          [&](int worker) {
                            return verify::with_connection(flag, [&](auto& polled) -> std::uint64_t {
                              for (int polls = 0;; ++polls) {
                                if (worker == 1 && polls == 50) ::raise(SIGKILL);
                                polled.raised();
                              }
                            });
                          }),
                 WorkerError);
    EXPECT_LT(Clock::now() - begin, 5s);
  }
  EXPECT_TRUE(childless());
  EXPECT_FALSE(fs::exists(folder));
}

// ---- facts -------------------------------------------------------------------------------------------------------------

TEST(Facts, AloneNothingIsLost) {
  EXPECT_EQ(increments_of_the_lessons(1, 300), 300);
  EXPECT_EQ(increments_of_a_value(1, 300, false), 300);
}
TEST(Facts, UnderALockNothingIsLost) { EXPECT_EQ(increments_of_a_value(4, 500, true), 2000); }
TEST(Facts, ANestedListIsACopy) {
  const Nested items = append_to_nested_lists();
  EXPECT_EQ(items.copy, 0u);
  EXPECT_EQ(items.set_again, 1u);
  EXPECT_EQ(items.proxy, 1u);
}

}  // namespace
}  // namespace lab::manager_value
