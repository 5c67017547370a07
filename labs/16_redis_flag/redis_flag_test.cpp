#include "redis_flag.hpp"

#include <gtest/gtest.h>

#include <csignal>

#include "facts.hpp"
#include "labs/12_verify_pool/verify.hpp"
#include "test_servers.hpp"

namespace lab::redis {
namespace {

struct Flags : testing::Test {
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    if (!find_server()) GTEST_SKIP() << "there is no Redis server on PATH (apt-get install redis-tools)";
    server.emplace();
  }
  std::optional<PrivateServer> server;
};

template <class View>
void goes_up_and_down(const PrivateServer& server) {
  for (const Address& address : {server.by_socket(), server.by_tcp()}) {
    RedisFlag<View> flag(address);
    View here = flag.connect(), there = flag.connect();
    EXPECT_FALSE(here.raised()) << "a flag that nobody has set is not raised";
    for (int turn = 0; turn < 100; ++turn) {
      here.raise();
      EXPECT_TRUE(here.raised());
      EXPECT_TRUE(there.raised()) << turn;
      there.clear();
      EXPECT_FALSE(there.raised()) << turn;
      EXPECT_FALSE(here.raised()) << turn;
      EXPECT_FALSE(here.raised()) << turn;
    }
  }
}
TEST_F(Flags, PolledGoesUpAndDown) { goes_up_and_down<PolledFlag>(*server); }

// Whoever is told may hear of it a little later than the writer's answer comes: the look is tried until it has.
TEST_F(Flags, ToldIsToldAndDoesNotAsk) {
  const RedisFlag<ToldFlag> flag(server->by_socket());
  ToldFlag here = flag.connect();
  Connection other(server->by_socket());
  const auto commands = [&] {
    const std::string stats = other.command({"INFO", "stats"}).text, label = "total_commands_processed:";
    return std::stoll(stats.substr(stats.find(label) + label.size()));
  };
  const long long before = commands();
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(here.raised());
  EXPECT_LE(commands() - before, 2) << "it has asked";
  for (int turn = 0; turn < 100; ++turn) {
    PolledFlag(server->by_socket(), flag.key()).raise();
    const Deadline deadline = soon();
    while (!here.raised() && Clock::now() < deadline) continue;
    EXPECT_TRUE(here.raised()) << "it was not told";
    PolledFlag(server->by_socket(), flag.key()).clear();
    EXPECT_FALSE(here.raised()) << "a raised flag was taken from memory";
  }
}

TEST_F(Flags, TwoDoNotMeet) {
  RedisFlag<PolledFlag> one(server->by_socket()), two(server->by_socket());
  one.connect().raise();
  EXPECT_TRUE(one.connect().raised());
  EXPECT_FALSE(two.connect().raised());
}

TEST_F(Flags, WhatIsNoFlagIsASentence) {
  const RedisFlag<PolledFlag> flag(server->by_socket());
  Connection stranger(server->by_socket());
  PolledFlag mine = flag.connect();
  stranger.ok({"SET", flag.key(), "perhaps"});
  EXPECT_TRUE(says(sentence_of([&] { mine.raised(); }), "holds neither 0 nor 1"));
  stranger.command({"DEL", flag.key()});
  stranger.command({"LPUSH", flag.key(), "a", "b"});
  EXPECT_TRUE(says(sentence_of([&] { mine.raised(); }), "refuses GET: WRONGTYPE"));
}

TEST_F(Flags, NothingStaysForEverInSomebodyElsesServer) {
  const RedisFlag<PolledFlag> flag(server->by_socket());
  Connection look(server->by_socket());
  flag.connect().raise();
  Counter counter(server->by_socket(), "counter");
  counter.clear();
  counter.add_by_incr();
  Lock lock(server->by_socket(), "lock");
  lock.acquire(soon());
  for (const std::string_view key :
       {std::string_view(flag.key()), std::string_view("counter"), std::string_view("lock")})
    EXPECT_GT(look.integer({"TTL", key}), 0) << key;
}

template <class View>
std::uint64_t factor_of(const Address& address, std::uint64_t n, std::uint64_t every) {
  RedisFlag<View> flag(address);
  return verify::find_factor({.n = n, .workers = 3, .every = every}, flag);
}
TEST_F(Flags, NumbersAreVerifiedByAnyFlag) {
  for (const Address& address : {server->by_socket(), server->by_tcp()}) {
    for (const std::uint64_t every : {std::uint64_t{100}, std::uint64_t{10'000}, never}) {
      EXPECT_EQ(factor_of<PolledFlag>(address, 8861, every), 0u);
      EXPECT_EQ(factor_of<PolledFlag>(address, 529, every), 23u);
      EXPECT_EQ(factor_of<ToldFlag>(address, 1000003ull * 1000003, every), 1000003u);
    }
    EXPECT_EQ(factor_of<PolledFlag>(address, numbers::small_non_prime_2, 10'000), 1715683u);
    EXPECT_EQ(factor_of<ToldFlag>(address, numbers::small_non_prime_1, 1000), 953111u);
    EXPECT_EQ(factor_of<ToldFlag>(address, numbers::small_prime, 1000), 0u);
  }
}

// One worker raises it at once; the other has hours of work, and stops.
template <class View>
void stops_a_search(const Address& address) {
  RedisFlag<View> flag(address);
  flag.clear();
  const auto reports = run_team({.size = 2, .deadline = std::chrono::seconds(30)}, [&](int worker) {
    View mine = flag.connect();
    if (worker == 0) return mine.raise(), std::uint64_t{0};
    return search(~0ull - 58, {21, 1ull << 32}, 100, mine).candidates;
  });
  EXPECT_LT(reports[1].answer, 1ull << 31);
}
TEST_F(Flags, StopASearchThatLooks) {
  stops_a_search<PolledFlag>(server->by_socket());
  stops_a_search<ToldFlag>(server->by_socket());
}

// The worker that is to be last kills the server; whoever asks or listens next says so, and all are stopped.
template <class View>
void says_that_the_server_died(PrivateServer& server) {
  RedisFlag<View> flag(server.by_socket());
  const Deadline deadline = Clock::now() + std::chrono::seconds(5);
  const std::string sentence = sentence_of<WorkerError>([&] {
    run_team({.size = 3}, [&](int worker) {
      View mine = flag.connect();
      if (worker == 2) ::kill(server.pid(), SIGKILL);
      return search(~0ull - 58, {21, 1ull << 32}, 100, mine).candidates;
    });
  });
  EXPECT_TRUE(says(sentence, "closed the connection"));
  EXPECT_LT(Clock::now(), deadline);
}
TEST_F(Flags, AServerKilledInMidSearchIsASentenceAndStopsTheWorkers) {
  const std::string folder = server->folder().path();
  says_that_the_server_died<PolledFlag>(*server);
  server->restart();
  says_that_the_server_died<ToldFlag>(*server);
  server.reset();
  EXPECT_NE(::access(folder.c_str(), F_OK), 0);
  EXPECT_TRUE(childless());
}

// A server that has stopped says nothing: to be told is then as good as not to be told, but to ask is noticed.
TEST_F(Flags, AServerThatStopsAnsweringIsASentenceWithin5Seconds) {
  const RedisFlag<PolledFlag> flag(server->by_socket());
  PolledFlag mine = flag.connect();
  mine.clear();
  ::kill(server->pid(), SIGSTOP);
  const Deadline deadline = Clock::now() + std::chrono::seconds(5);
  EXPECT_TRUE(says(sentence_of([&] { mine.raised(); }), "has not answered within 4 s"));
  EXPECT_LT(Clock::now(), deadline);
}

TEST_F(Flags, IncrIsExactAndSoIsALock) {
  const Kept kept = count_together(server->by_socket(), 8, 10'000);
  EXPECT_EQ(kept.by_incr, 80'000);
  EXPECT_EQ(kept.by_get_and_set_locked, kept.of_locked);
  EXPECT_LE(kept.by_get_and_set, kept.of);
}

TEST_F(Flags, ACounterOfAnotherTypeIsASentence) {
  Counter counter(server->by_socket(), "counter");
  Connection stranger(server->by_socket());
  for (const char* value : {"many", "", "12x", "99999999999999999999"}) {
    stranger.ok({"SET", "counter", value});
    EXPECT_TRUE(says(sentence_of([&] { counter.get(); }), "holds no number")) << value;
  }
}

TEST_F(Flags, ALockHasOneHolder) {
  Lock mine(server->by_socket(), "lock"), yours(server->by_socket(), "lock");
  EXPECT_TRUE(mine.try_acquire());
  EXPECT_FALSE(yours.try_acquire());
  EXPECT_FALSE(mine.try_acquire()) << "it is no recursive lock";
  EXPECT_FALSE(yours.release()) << "somebody else's lock was released";
  EXPECT_TRUE(mine.release());
  EXPECT_TRUE(yours.try_acquire());
  EXPECT_TRUE(says(sentence_of([&] { mine.acquire(Clock::now() + std::chrono::milliseconds(20)); }),
                   "is held by somebody else"));
}

TEST_F(Flags, AKilledHoldersLockExpiresAndALateOneLosesIt) {
  const auto lease = std::chrono::milliseconds(50);
  const pid_t holder = start_child([&] {
    Lock(server->by_socket(), "lock", lease).acquire(soon());
    ::raise(SIGKILL);
  });
  EXPECT_EQ(end_of(holder), "signal 9 (Killed)");
  Lock late(server->by_socket(), "lock", lease), next(server->by_socket(), "lock", std::chrono::minutes(1));
  late.acquire(soon());
  next.acquire(soon());  // while late does not notice that its lease is over
  EXPECT_FALSE(late.release());
  EXPECT_FALSE(late.try_acquire()) << "a late holder released the lock of the next one";
  EXPECT_TRUE(next.release());
}

TEST_F(Flags, PipelinedGetsAreAllAnswered) {
  RedisFlag<PolledFlag> flag(server->by_tcp());
  flag.clear();
  Connection connection(server->by_tcp());
  for (const int depth : {1, 2, 128, 1000}) EXPECT_EQ(get_pipelined(connection, flag.key(), depth), depth);
  flag.connect().raise();
  EXPECT_EQ(get_pipelined(connection, flag.key(), 10), 0);
}

TEST(Facts, Hold) {
  if (!find_server() || !find_program("redis-cli")) GTEST_SKIP() << "it takes redis-tools";
  std::signal(SIGPIPE, SIG_IGN);
  for (const Seen& seen : {others_see_the_flag(), snapshot_keeps_the_flag()}) {
    EXPECT_TRUE(seen.known) << seen.what;
    EXPECT_TRUE(seen.holds) << seen.what;
  }
}

TEST(Facts, WhatCannotBeLookedAtIsSaid) {
  const Seen seen = incr_is_exact({.path = "/nonexistent/redis.sock"}, true);
  EXPECT_FALSE(seen.known);
  EXPECT_TRUE(says(seen.what, "cannot reach Redis"));
}

}  // namespace
}  // namespace lab::redis
