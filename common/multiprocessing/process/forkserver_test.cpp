// What must be true of the server that forks on request.
#include "common/multiprocessing/process/forkserver.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <thread>

#include "common/multiprocessing/process/test_nursery.hpp"
#include "common/os/children.hpp"
#include "common/os/mapping.hpp"

namespace lab::start {
namespace {

using std::chrono::seconds;

Deadline in(int s) { return Clock::now() + seconds(s); }

int give_back(std::string_view argument, std::span<Descriptor>) { return std::stoi(std::string(argument)); }
int fail(std::string_view argument, std::span<Descriptor>) { throw std::runtime_error(std::string(argument)); }
int sleep_long(std::string_view, std::span<Descriptor>) { return ::pause(); }
int write_length(std::string_view argument, std::span<Descriptor> out) {
  const auto size = argument.size();
  write_all(out[0].get(), std::as_bytes(std::span(&size, 1)));
  return 0;
}
int count_open(std::string_view, std::span<Descriptor> given) {
  int open = 0;
  for (int fd = 3; fd < 1024; ++fd) open += ::fcntl(fd, F_GETFD) >= 0;
  return open - static_cast<int>(given.size());
}
int tell_parent(std::string_view, std::span<Descriptor> out) {
  const std::int64_t parents[2]{::getppid(), self().parent};
  write_all(out[0].get(), std::as_bytes(std::span(parents)));
  return 0;
}
int tell_number(std::string_view, std::span<Descriptor> out) { return static_cast<int>(out.size()); }
[[maybe_unused]] const bool known =
    register_entry("give_back", give_back) && register_entry("fail", fail) &&
    register_entry("sleep_long", sleep_long) && register_entry("write_length", write_length) &&
    register_entry("count_open", count_open) && register_entry("tell_parent", tell_parent) &&
    register_entry("tell_number", tell_number);

bool alive(pid_t pid) {  // a zombie is not
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  return std::getline(stat, text) && text[text.rfind(')') + 2] != 'Z';
}
bool ends(pid_t pid) {
  for (const Deadline deadline = in(5); alive(pid); ::usleep(1000)) {
    if (Clock::now() > deadline) return false;
  }
  return true;
}

TEST(Nursery, WorkersRunWhatIsNamedAndTheirStatusComesBack) {
  const TestNursery nursery;
  EXPECT_EQ(nursery.start("give_back", "0").exit_code(in(5)), 0);
  EXPECT_EQ(nursery.start("give_back", "7").exit_code(in(5)), 7);
  EXPECT_EQ(nursery.start("fail", "this error is expected").exit_code(in(5)), 1);
}

TEST(Nursery, AnUnknownNameIsAnErrorHereAndTheServerLives) {
  const TestNursery nursery;
  EXPECT_THROW(nursery.start("nobody"), UnknownEntry);
  EXPECT_EQ(nursery.start("give_back", "3").exit_code(in(5)), 3);
}

int late(std::string_view, std::span<Descriptor>) { return 0; }
TEST(Nursery, ANameTheWorkerDoesNotKnowIsStatusOne) {
  const TestNursery nursery;
  register_entry("late", late);  // the server was forked before: its registry lacks it
  EXPECT_EQ(nursery.start("late").exit_code(in(5)), 1);
}

TEST(Nursery, AKilledWorkerIsReportedWithItsSignal) {
  const TestNursery nursery;
  const TestWorker worker = nursery.start("sleep_long");
  EXPECT_FALSE(worker.exit_code(Clock::now()));
  ::kill(worker.pid, SIGKILL);
  EXPECT_EQ(worker.exit_code(in(5)), -SIGKILL);
}

TEST(Nursery, AWorkersParentIsTheServerAndItKnowsWhoAskedForIt) {
  const TestNursery nursery;
  auto [reader, writer] = make_pipe();
  const TestWorker worker = nursery.start("tell_parent", "", std::array{writer.get()});
  std::int64_t parents[2]{};
  ASSERT_EQ(read_full(reader.get(), std::as_writable_bytes(std::span(parents))), sizeof parents);
  EXPECT_EQ(parents[0], nursery.server());
  EXPECT_EQ(parents[1], ::getpid());
  EXPECT_EQ(worker.exit_code(in(5)), 0);
}

TEST(Nursery, WorkersInheritNoDescriptorButTheListed) {
  const auto [stray, other] = make_pipe();
  const TestNursery nursery;
  const TestWorker sibling = nursery.start("sleep_long", "", std::array{stray.get()});
  EXPECT_EQ(nursery.start("count_open", "", std::array{stray.get(), other.get()}).exit_code(in(5)), 0);
}

TEST(Nursery, PassesAsManyDescriptorsAsTheKernelDoesAndRefusesMore) {
  const TestNursery nursery;
  EXPECT_EQ(nursery.start("tell_number", "", std::vector<int>(252, 1)).exit_code(in(5)), 252);
  EXPECT_THROW(nursery.start("tell_number", "", std::vector<int>(253, 1)), std::invalid_argument);
}

TEST(Nursery, ArgumentsMayBeLarge) {
  const TestNursery nursery;
  auto [reader, writer] = make_pipe();
  const TestWorker worker = nursery.start("write_length", std::string(16 << 20, 'x'), std::array{writer.get()});
  std::size_t size = 0;
  read_full(reader.get(), std::as_writable_bytes(std::span(&size, 1)));
  EXPECT_EQ(size, 16u << 20);
  EXPECT_EQ(worker.exit_code(in(5)), 0);
}

TEST(Nursery, IsSafeFromManyThreads) {
  const TestNursery nursery;
  std::atomic<int> right{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 25; ++i)
          right += nursery.start("give_back", std::to_string(t * 25 + i)).exit_code(in(10)) == t * 25 + i;
      });
    }
  }
  EXPECT_EQ(right, 100);
}

TEST(Nursery, ALostServerIsStatus255AndTakesItsWorkersAlong) {
  const TestNursery nursery;
  const TestWorker worker = nursery.start("sleep_long");
  ::kill(nursery.server(), SIGKILL);
  EXPECT_EQ(worker.exit_code(in(5)), 255);
  EXPECT_TRUE(ends(worker.pid));
  EXPECT_THROW(nursery.start("give_back", "0"), std::system_error);
}

TEST(Nursery, IgnoresInterrupts) {
  const TestNursery nursery;
  ::kill(nursery.server(), SIGINT);
  EXPECT_EQ(nursery.start("give_back", "4").exit_code(in(5)), 4);
}

TEST(Nursery, ItsEndIsTheEndOfItsWorkers) {
  pid_t worker = 0, server = 0;
  {
    const TestNursery nursery;
    server = nursery.server();
    worker = nursery.start("sleep_long").pid;
  }
  EXPECT_FALSE(alive(worker));
  EXPECT_FALSE(alive(server));
}

TEST(Nursery, EndsAtOnceAlsoWhereTheStandardStreamsAreClosed) {
  const pid_t client = fork_child();
  if (client == 0) {
    leave([] {
      for (const int fd : {0, 1}) ::close(fd);  // the sockets get these numbers
      const auto begin = Clock::now();
      { const TestNursery nursery; }
      if (Clock::now() - begin > seconds(5)) throw std::runtime_error("it had to be killed");
    });
  }
  int status = 0;
  ::waitpid(client, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Nursery, LettingGoOfAWorkerKillsIt) {
  const TestNursery nursery;
  pid_t worker = 0;
  {
    const TestWorker held = nursery.start("sleep_long");
    worker = held.pid;
    EXPECT_FALSE(held.exit_code(Clock::now() + std::chrono::milliseconds(20)));
  }
  EXPECT_TRUE(ends(worker));
  EXPECT_EQ(nursery.start("give_back", "6").exit_code(in(5)), 6);
}

TEST(Nursery, AKilledClientTakesServerAndWorkersAlong) {
  const Shared<std::array<std::atomic<pid_t>, 2>> pids;
  const pid_t client = fork_child();
  if (client == 0) {
    leave([&] {
      const TestNursery nursery;
      (*pids)[0] = nursery.server();
      const TestWorker worker = nursery.start("sleep_long");
      (*pids)[1] = worker.pid;
      ::pause();
    });
  }
  for (const Deadline deadline = in(5); (*pids)[1] == 0 && Clock::now() < deadline;) ::usleep(1000);
  ASSERT_TRUE(alive((*pids)[1]));
  ::kill(client, SIGKILL);
  ::waitpid(client, nullptr, 0);
  EXPECT_TRUE(ends((*pids)[0]));
  EXPECT_TRUE(ends((*pids)[1]));
}

TEST(Nursery, OutlivesTheThreadThatMadeIt) {
  std::optional<TestNursery> nursery;
  std::thread([&] { nursery.emplace(); }).join();
  for (int i = 0; i < 3; ++i) {
    ::usleep(10'000);  // for the signal that a parent's death would send
    EXPECT_EQ(nursery->start("give_back", "7").exit_code(in(5)), 7);
  }
}

// A child that is forked meanwhile, and has nothing to do with it, holds its socket as well.
struct Bystander {
  ChildProcess process;
  Bystander() {
    const pid_t pid = fork_child(false);
    if (pid == 0) ::pause(), ::_exit(0);
    process = ChildProcess(pid);
  }
};

TEST(Nursery, EndsAtOnceBesideABystanderWhoHoldsItsSocket) {
  std::optional<TestNursery> nursery(std::in_place);
  const Bystander bystander;
  const auto begin = Clock::now();
  nursery.reset();
  EXPECT_LT(Clock::now() - begin, seconds(5)) << "it had to be killed";
}

TEST(Nursery, EndsWithAKilledClientBesideABystanderWhoHoldsItsSocket) {
  const Shared<std::array<std::atomic<pid_t>, 2>> pids;
  const pid_t client = fork_child();
  if (client == 0) {
    leave([&] {
      const TestNursery nursery;
      Bystander bystander;
      (*pids)[0] = bystander.process.pid();
      (*pids)[1] = nursery.server();
      ::pause();
    });
  }
  for (const Deadline deadline = in(5); (*pids)[1] == 0 && Clock::now() < deadline;) ::usleep(1000);
  const Descriptor bystander = open_pidfd((*pids)[0]);
  ::kill(client, SIGKILL);
  ::waitpid(client, nullptr, 0);
  EXPECT_TRUE(ends((*pids)[1]));
  send_signal(bystander, SIGKILL);
}

TEST(Nursery, ACopyMadeByForkEndsAndTheServerServesOn) {
  const TestNursery nursery;
  const pid_t copy = fork_child();
  if (copy == 0) {
    leave([&] {
      if (nursery.start("give_back", "7").exit_code(in(5)) != 7) throw std::runtime_error("no worker");
      nursery.~TestNursery();
    });
  }
  EXPECT_EQ(ChildProcess(copy).wait(), 0);
  EXPECT_EQ(nursery.start("give_back", "6").exit_code(in(5)), 6);
}

TEST(Nursery, WhatIsNoRequestIsRefusedAndTheServerLives) {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const pid_t pid = fork_child();
  if (pid == 0) {
    leave([&, &mine = ours, &socket = theirs] {
      mine.reset();
      serve_forks(std::move(socket));
    });
  }
  ASSERT_EQ(::send(ours.get(), "nonsense", 8, 0), 8);
  const TestNursery nursery(ChildProcess(pid), std::move(ours));
  EXPECT_EQ(nursery.start("give_back", "5").exit_code(in(5)), 5);
}

}  // namespace
}  // namespace lab::start
