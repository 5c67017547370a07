// Whoever is killed: nobody waits for it for ever, and nothing is left.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "common/multiprocessing/manager/manager.hpp"
#include "common/os/mapping.hpp"
#include "common/os/team.hpp"
#include "common/os/test_child.hpp"

namespace lab::manager {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

Deadline five_seconds() { return Clock::now() + 5s; }

// A child that has done its part, and then does nothing until it is killed.
struct Victim {
  explicit Victim(const std::function<void()>& part) {
    auto [reader, writer] = make_pipe();
    process = ChildProcess(start_child([&, &done = writer] {
      part();
      const std::byte ready{1};
      write_all(done.get(), {&ready, 1});
      for (;;) ::pause();
    }));
    writer.reset();
    std::byte ready{};
    EXPECT_EQ(read_full(reader.get(), {&ready, 1}, soon()), 1u) << "the child did not get that far";
  }
  void kill() {
    process.send_signal(SIGKILL);
    EXPECT_EQ(process.wait(soon()), -SIGKILL);
  }
  ChildProcess process;
};

TEST(Kills, AKilledHoldersLockIsFreeAndTheNextIsTold) {
  Manager manager;
  const Lock lock = manager.make<Lock>();
  Victim holder([&] { lock.acquire(); });
  EXPECT_TRUE(lock.locked());
  EXPECT_FALSE(lock.acquire(0s));
  holder.kill();
  const Deadline limit = five_seconds();
  while (lock.locked() && Clock::now() < limit) std::this_thread::yield();
  EXPECT_THROW(lock.acquire(5s), HolderDied);
  EXPECT_TRUE(lock.acquire(0s)) << "it was said to be free";
  lock.release();
  EXPECT_TRUE(lock.acquire(0s)) << "it was told twice";
}

TEST(Kills, WhoeverWaitsForAKilledHolderIsTold) {
  Manager manager;
  const Lock lock = manager.make<Lock>();
  Victim holder([&] { lock.acquire(); });
  std::atomic<int> told = 0, late = 0;
  {
    std::vector<std::jthread> waiters;
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back([&] {
        try {
          if (!lock.acquire(30s)) ++late;
          lock.release();  // one that came after the death was told of
        } catch (const HolderDied&) {
          ++told;
        }
      });
    }
    const auto killed = Clock::now();
    holder.kill();
    waiters.clear();
    EXPECT_LT(Clock::now() - killed, 5s);
  }
  EXPECT_GE(told, 1);
  EXPECT_EQ(late, 0);
  EXPECT_FALSE(lock.locked());
}

TEST(Kills, AProcessThatJustEndsReleasesItsLockToo) {
  Manager manager;
  const Lock lock = manager.make<Lock>();
  EXPECT_EQ(end_of(start_child([&] { lock.acquire(); })), "status 0");
  EXPECT_THROW(lock.acquire(5s), HolderDied);
}

TEST(Kills, AKilledWaiterIsNobodysHolder) {
  Manager manager;
  const Lock lock = manager.make<Lock>();
  lock.acquire();
  const Shared<std::atomic<bool>> waits{false};
  ChildProcess child(start_child([&] {
    *waits = true;
    lock.acquire();
  }));
  while (!*waits) std::this_thread::yield();
  child.send_signal(SIGKILL);
  EXPECT_EQ(child.wait(soon()), -SIGKILL);
  lock.release();
  const Deadline limit = five_seconds();
  bool mine = false;
  while (!mine && Clock::now() < limit) {
    try {
      mine = lock.acquire(1s);
    } catch (const HolderDied&) {  // it had been given the lock in the moment of its death
    }
  }
  EXPECT_TRUE(mine);
}

TEST(Kills, AKilledConsumerCostsNoItemThatItDidNotGet) {
  Manager manager;
  const Queue queue = manager.make<Queue>();
  const Shared<std::atomic<bool>> waits{false};
  ChildProcess child(start_child([&] {
    *waits = true;
    queue.get();
  }));
  while (!*waits) std::this_thread::yield();
  child.send_signal(SIGKILL);
  EXPECT_EQ(child.wait(soon()), -SIGKILL);
  queue.put("item");
  EXPECT_EQ(queue.get(5s), Object("item"));
}

TEST(Kills, WhatAKilledProcessHeldIsReleased) {
  Manager manager;
  Victim owner([&] { new List(manager.make<List>(Items{manager.make<Value>()})); });
  EXPECT_EQ(manager.number_of_objects(), 2);
  owner.kill();
  const Deadline limit = five_seconds();
  while (manager.number_of_objects() > 0 && Clock::now() < limit) std::this_thread::yield();
  EXPECT_EQ(manager.number_of_objects(), 0);
}

TEST(Kills, AKilledServerIsASentenceToWhoeverAsksOrWaits) {
  Manager manager;
  const std::string folder = fs::path(manager.path()).parent_path();
  const Value value = manager.make<Value>();
  const Queue queue = manager.make<Queue>();
  std::string waiting;
  {
    std::jthread waiter([&] {
      try {
        queue.get();
      } catch (const ManagerLost& error) {
        waiting = error.what();
      }
    });
    EXPECT_EQ(value.get(), Object(None{}));
    ::kill(manager.server(), SIGKILL);
    const auto killed = Clock::now();
    EXPECT_THROW(
        {
          while (Clock::now() - killed < 5s) value.get();
        },
        ManagerLost);
    EXPECT_THROW(manager.make<Value>(), ManagerLost);
    waiter.join();
    EXPECT_LT(Clock::now() - killed, 5s);
  }
  EXPECT_NE(waiting.find("the manager at " + folder), std::string::npos) << waiting;
  manager.shutdown();
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_TRUE(childless());
}

TEST(Kills, AServerKilledInTheMiddleOfATeamsWorkStopsTheTeam) {
  Manager manager;
  const Value value = manager.make<Value>(false);
  const pid_t server = manager.server();
  const auto begin = Clock::now();
  try {
    run_team({.size = 3}, [&](int worker) -> std::uint64_t {
      for (int polls = 0;; ++polls) {
        if (worker == 0 && polls == 100) ::kill(server, SIGKILL);
        value.get();
      }
    });
    FAIL() << "the team went on without its server";
  } catch (const WorkerError& error) {
    EXPECT_NE(std::string(error.what()).find("the manager at /"), std::string::npos) << error.what();
  }
  EXPECT_LT(Clock::now() - begin, 5s);
}

TEST(Kills, AKilledOwnersServerIsGoneWithItsFolder) {
  struct Seen {
    std::atomic<pid_t> server;
    std::array<char, 128> path;
  };
  const Shared<Seen> seen;
  {
    Victim owner([&] {
      auto& manager = *new Manager;
      manager.make<Value>(1);
      seen->server = manager.server();
      manager.path().copy(seen->path.data(), seen->path.size() - 1);
    });
    EXPECT_TRUE(fs::exists(seen->path.data()));
    owner.kill();
  }
  EXPECT_TRUE(is_gone(seen->server));
  EXPECT_FALSE(fs::exists(fs::path(seen->path.data()).parent_path()));
}

TEST(Kills, AServerThatDoesNotListenIsShutDownAllTheSame) {
  Manager manager;
  const pid_t server = manager.server();
  ::kill(server, SIGSTOP);
  manager.shutdown();
  EXPECT_TRUE(is_gone(server));
  EXPECT_TRUE(childless());
}

TEST(Kills, AnInterruptIsForTheOwnerToHandle) {
  Manager manager;
  ::kill(manager.server(), SIGINT);
  EXPECT_EQ(manager.make<Value>(true).get(), Object(true));
}

}  // namespace
}  // namespace lab::manager
