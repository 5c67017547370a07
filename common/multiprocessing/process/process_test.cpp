// Process as multiprocessing has it, one test a rule, for each way of starting one.
#include "common/multiprocessing/process/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <deque>
#include <fstream>
#include <latch>
#include <set>
#include <thread>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/multiprocessing/process/test_main.hpp"
#include "common/multiprocessing/process/test_methods.hpp"
#include "common/os/children.hpp"
#include "common/os/codec.hpp"
#include "common/os/test_timeouts.hpp"

namespace lab::start {
namespace {

using std::chrono::seconds;
using namespace std::chrono_literals;

constexpr seconds kLimit(20);  // far more than anything here takes

// What the workers of these tests do.

void say(int out, const std::string& text) { write_all(out, std::as_bytes(std::span(text))); }

int act(std::string_view what, std::span<Descriptor> in) {
  if (what == "throw") throw std::runtime_error("this error is expected");
  if (what == "throw an int") throw 5;
  if (what == "exit 5") throw Exit(5);
  if (what == "exit text") throw Exit("this text is expected");
  if (what == "exit") throw Exit();
  if (what == "abort") std::abort();
  if (what == "pause") ::pause();
  if (char told = 0; what == "wait until told" && ::read(in[0].get(), &told, 1) != 1) return 1;
  if (what == "ignore SIGTERM") {
    std::signal(SIGTERM, SIG_IGN);
    say(in[0].get(), "x");
    ::pause();
  }
  return what == "return 7" ? 7 : 0;
}

int answer_value = 1;  // set by a test before it starts workers
int answer(std::string_view what, std::span<Descriptor> out) {
  struct stat input {
  }, null{};
  if (what == "self") say(out[0].get(), self().name + "/" + self().parent_name + "/" + std::to_string(self().parent));
  if (what == "getppid") say(out[0].get(), std::to_string(::getppid()));
  if (what == "stdin") {
    ::fstat(STDIN_FILENO, &input);
    ::stat("/dev/null", &null);
    say(out[0].get(), input.st_rdev == null.st_rdev ? "null" : "another");
  }
  if (what == "value") say(out[0].get(), std::to_string(answer_value));
  if (what.starts_with("fd "))
    say(out[0].get(), ::fcntl(std::stoi(std::string(what.substr(3))), F_GETFD) >= 0 ? "open" : "closed");
  if (what.starts_with("length ")) say(out[0].get(), std::to_string(what.size()));
  if (what == "count") say(out[0].get(), std::to_string(out.size()));
  return 0;
}

// A program that starts children of its own and returns: what becomes of them is told by `out`.
int parent(std::string_view what, std::span<Descriptor> out) {
  const int fd = out[0].get();  // finalizers outlive the span, not the descriptor
  const std::string text(what);
  const auto method = static_cast<Method>(text[0] - '0');
  const std::string kind = text.substr(2);
  static std::vector<Process> children;
  if (kind == "daemons") {
    children.push_back({method, "act", "pause", {}, {.daemon = true}});
  }
  static const auto [told, tell] = make_pipe();
  if (kind == "stubborn daemons") children.push_back({method, "act", "ignore SIGTERM", {tell.get()}, {.daemon = true}});
  if (kind == "others") children.push_back({method, "act", "wait until told", {told.get()}});
  if (kind == "leaves") children.push_back({method, "act", "pause"});
  for (Process& child : children) child.start();
  if (kind == "stubborn daemons") wait_for(told.get(), POLLIN, Clock::now() + kLimit);  // it ignores them from now on
  if (kind != "leaves") {
    at_process_exit(0, [fd] {
      say(fd, children[0].alive() ? "alive " : "ended ");
      say(tell.get(), "x");
    });
    at_process_exit(-1, [fd] { say(fd, "then " + std::to_string(*children[0].exit_code())); });
  }
  if (kind == "leaves") {
    say(fd, std::to_string(children[0].pid()) + " ");
    ::pause();
  }
  return 0;
}

int start_one(std::string_view, std::span<Descriptor>) {
  Process(Method::fork, "act").start();
  return 0;
}
int finalizers(std::string_view, std::span<Descriptor> out) {
  const int fd = out[0].get();
  for (const int priority : {-100, 0, 10, -5, 15})
    at_process_exit(priority, [fd, priority] { say(fd, std::to_string(priority) + " "); });
  at_process_exit(10, [] { throw std::runtime_error("this error is expected"); });
  at_process_exit(10, [fd] { say(fd, "newer "); });
  return 0;
}
// Ends at once; its own child, which holds what is listed and nothing else, when the second of these can be read.
int leave_a_child(std::string_view, std::span<Descriptor> given) {
  if (::fork() == 0) {
    close_all_but({given[0].get(), given[1].get()});
    wait_for(given[1].get(), POLLIN, Clock::now() + kLimit);
    ::_exit(0);
  }
  return 0;
}
std::mutex held;
int try_lock(std::string_view, std::span<Descriptor>) { return held.try_lock() ? 0 : 3; }

[[maybe_unused]] const bool known = register_entry("act", act) && register_entry("answer", answer) &&
                                    register_entry("parent", parent) && register_entry("start_one", start_one) &&
                                    register_entry("finalizers", finalizers) && register_entry("try_lock", try_lock) &&
                                    register_entry("leave_a_child", leave_a_child);

// A worker that ends when it is told to.
struct Patient {
  explicit Patient(Method method) : process(method, "act", "wait until told", {pipe.first.get()}) { process.start(); }
  void tell() const { say(pipe.second.get(), "x"); }
  std::pair<Descriptor, Descriptor> pipe = make_pipe();
  Process process;
};

int run(Method method, const std::string& entry, const std::string& argument = "", std::vector<int> descriptors = {},
        bool daemon = false) {
  Process process(method, entry, argument, std::move(descriptors), {.daemon = daemon});
  process.start();
  process.join(kLimit);
  return process.exit_code().value_or(-99);
}

std::string ask(Method method, const std::string& entry, const std::string& argument, std::vector<int> more = {}) {
  auto [reader, writer] = make_pipe();
  more.insert(more.begin(), writer.get());
  Process process(method, entry, argument, more, {.name = "asked"});
  process.start();
  writer.reset();
  process.join(kLimit);
  std::array<char, 200> text{};
  return {text.data(), read_full(reader.get(), std::as_writable_bytes(std::span(text)))};
}

bool gone(pid_t pid) {
  for (const Deadline deadline = Clock::now() + kLimit; Clock::now() < deadline; ::usleep(1000)) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    if (!std::getline(stat, text) || text[text.rfind(')') + 2] == 'Z') return true;
  }
  return false;
}

TEST_P(EachMethod, ExitCodesAreStatusesAndErrorsAreOne) {
  EXPECT_EQ(run(GetParam(), "act", "return 0"), 0);
  EXPECT_EQ(run(GetParam(), "act", "return 7"), 7);
  EXPECT_EQ(run(GetParam(), "act", "throw"), 1);
  EXPECT_EQ(run(GetParam(), "act", "throw an int"), 1);
  EXPECT_EQ(run(GetParam(), "act", "exit 5"), 5);
  EXPECT_EQ(run(GetParam(), "act", "exit text"), 1);
  EXPECT_EQ(run(GetParam(), "act", "exit"), 0);
}

TEST_P(EachProcess, SignalsAreNegativeExitCodesButAnInterruptIsAnError) {
  EXPECT_EQ(run(GetParam(), "act", "abort"), -SIGABRT);
  for (const auto& [send, code] : {std::pair(&Process::terminate, -SIGTERM), std::pair(&Process::kill, -SIGKILL),
                                   std::pair(&Process::interrupt, 1)}) {
    auto [reader, writer] = make_pipe();
    Process process(GetParam(), "parent", std::to_string(static_cast<int>(Method::fork)) + " leaves", {writer.get()});
    process.start();
    std::array<std::byte, 1> there;
    ASSERT_EQ(read_full(reader.get(), there), 1u);  // its entry runs
    (process.*send)();
    process.join(kLimit);
    EXPECT_EQ(process.exit_code(), code);
    (process.*send)();  // to one that has ended: nothing happens
  }
}

TEST(Thread, CannotBeTerminated) {
  Patient thread(Method::thread);
  EXPECT_THROW(thread.process.terminate(), std::logic_error);
  thread.tell();
  thread.process.join(kLimit);
  EXPECT_EQ(thread.process.exit_code(), 0);
}

TEST_P(EachMethod, BeforeStartThereIsNothingToJoin) {
  Process process(GetParam(), "act");
  EXPECT_THROW(process.join(), Misuse);
  EXPECT_THROW(process.sentinel(), Misuse);
  EXPECT_THROW(process.kill(), Misuse);
  EXPECT_EQ(process.exit_code(), std::nullopt);
  EXPECT_EQ(process.pid(), 0);
  EXPECT_FALSE(process.alive());
}

TEST_P(EachMethod, StartsOnce) {
  Process process(GetParam(), "act");
  process.start();
  EXPECT_THROW(process.start(), Misuse);
  process.join(kLimit);
  EXPECT_THROW(process.start(), Misuse);
}

TEST_P(EachMethod, AnUnknownNameIsAnErrorHereAndNothingStarts) {
  Process process(GetParam(), "nobody");
  EXPECT_THROW(process.start(), UnknownEntry);
  EXPECT_EQ(process.pid(), 0);
}

int late(std::string_view, std::span<Descriptor>) { return 0; }
TEST(Spawn, AnUnknownNameIsAnErrorInTheWorker) {
  register_entry("late", late);  // a fresh program has not run this line
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(Method::spawn, "late"), 1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("no entry is registered as 'late'"), std::string::npos);
}

TEST_P(EachMethod, JoinWithTimeoutTellsNothingAndTheExitCodeAll) {
  Patient patient(GetParam());
  Process& process = patient.process;
  for (const Timeout& nothing : kNoTime) process.join(nothing);
  EXPECT_TRUE(process.alive());
  EXPECT_EQ(process.exit_code(), std::nullopt);
  patient.tell();
  process.join();
  EXPECT_EQ(process.exit_code(), 0);
  process.join();  // again: returns at once
}

TEST(Process, AsLongAsItTakesIsNoTimeoutInAnyUnit) {
  std::deque<Patient> patients;  // started by this thread, for they die with it
  for (std::size_t i = 0; i < std::size(kAsLongAsItTakes); ++i) patients.emplace_back(Method::fork);
  std::atomic<std::size_t> at = 0;
  expect_no_timeout(
      [&](Timeout timeout) {
        patients[at].process.join(timeout);
        EXPECT_EQ(patients[at].process.exit_code(), 0);
        patients[at].process.join(kLimit);  // where that failed: until it is told
        ++at;
      },
      [&] { patients[at].tell(); });
}

TEST(Process, ThoseMadeByManyThreadsHaveNamesOfTheirOwn) {
  constexpr int kEach = 20'000;
  std::array<std::vector<std::string>, 4> names;
  std::latch gate(names.size());  // one that is done before the next begins proves nothing
  {
    std::vector<std::jthread> threads;
    for (auto& mine : names) {
      threads.emplace_back([&] {
        gate.arrive_and_wait();
        for (int i = 0; i < kEach; ++i) mine.push_back(Process(Method::thread, "act").name());
      });
    }
  }
  std::set<std::string> distinct;
  for (const auto& mine : names) distinct.insert(mine.begin(), mine.end());
  EXPECT_EQ(distinct.size(), names.size() * kEach);
}

// What another thread has locked at the moment of a fork is locked in the child for ever, unless the lock is renewed.
TEST(Process, AForkedChildFindsTheLocksOfTrackerAndServerFree) {
  std::jthread busy([](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      for (int i = 0; i < 100; ++i) ResourceTracker::shared().probe();
      run(Method::forkserver, "act");
    }
  });
  for (int i = 0; i < 30; ++i) {
    const pid_t child = fork_child();
    if (child == 0) {
      leave([] {
        ::alarm(20);
        ResourceTracker::shared().probe();
        if (run(Method::forkserver, "act", "return 7") != 7)
          throw std::runtime_error("no worker from the parent's server");
      });
    }
    EXPECT_EQ(ChildProcess(child).wait(), 0);
  }
}

TEST_P(EachMethod, OneThatRunsCannotBeClosedAndAClosedOneIsOfNoUse) {
  Patient patient(GetParam());
  Process& process = patient.process;
  EXPECT_THROW(process.close(), Misuse);
  patient.tell();
  process.join(kLimit);
  process.close();
  process.close();
  EXPECT_THROW(process.alive(), Misuse);
  EXPECT_THROW(process.join(), Misuse);
  EXPECT_THROW((void)process.name(), Misuse);
}

TEST_P(EachMethod, SentinelIsReadyAtTheEndAndStaysSo) {
  Patient patient(GetParam());
  Process& process = patient.process;
  EXPECT_FALSE(wait_for(process.sentinel(), POLLIN, Clock::now()));
  patient.tell();
  EXPECT_TRUE(wait_for(process.sentinel(), POLLIN, Clock::now() + kLimit));
  for (int i = 0; i < 20; ++i) {
    Process brief(GetParam(), "act");
    brief.start();
    brief.join(kLimit);
    EXPECT_TRUE(wait_for(brief.sentinel(), POLLIN, Clock::now())) << "also when the exit code has been taken";
  }
  EXPECT_EQ(process.exit_code(), 0);
}

// CPython's sentinel under fork, faithfully: the read end of a pipe; the parent closes the write end right after the
// fork, so that of its children only this one holds it. But what this one forks holds it as well.
TEST(Sentinel, APipesEndIsLateWhenAGrandchildInheritsItAndOursIsNot) {
  auto [pipe_sentinel, writer] = make_pipe();
  auto [grandchild_waits, release] = make_pipe();
  Process child(Method::fork, "leave_a_child", "", {writer.get(), grandchild_waits.get()});
  child.start();
  writer.reset();
  Process sibling(Method::fork, "act", "pause");
  sibling.start();
  EXPECT_TRUE(wait_for(child.sentinel(), POLLIN, Clock::now() + kLimit));
  EXPECT_FALSE(wait_for(pipe_sentinel.get(), POLLIN, Clock::now() + 100ms)) << "the trap is gone?";
  write_all(release.get(), std::array<std::byte, 1>{});
  EXPECT_TRUE(wait_for(pipe_sentinel.get(), POLLIN, Clock::now() + kLimit)) << "a sibling delays nothing";
  sibling.kill();
  sibling.join(kLimit);
}

TEST_P(EachProcess, OnlyItsCreatorMayAsk) {
  Process process(GetParam(), "act", "pause");
  process.start();
  const pid_t stranger = fork_child();
  if (stranger == 0) {
    leave([&] {
      EXPECT_THROW(process.join(), Misuse);
      EXPECT_THROW(process.exit_code(), Misuse);
      EXPECT_THROW(process.kill(), Misuse);
      if (testing::Test::HasFailure()) throw std::runtime_error("see above");
    });
  }
  int status = 0;
  ::waitpid(stranger, &status, 0);
  EXPECT_EQ(status, 0);
  process.kill();
  process.join(kLimit);
}

TEST_P(EachProcess, ADaemonMayNotHaveChildren) {
  stop_fork_server();  // the next one inherits the stderr that is looked at here
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(GetParam(), "start_one", "", {}, true), 1);
  stop_fork_server();
  EXPECT_NE(testing::internal::GetCapturedStderr().find("daemonic processes are not allowed to have children"),
            std::string::npos);
  EXPECT_EQ(run(GetParam(), "start_one"), 0);
}

TEST_P(EachProcess, AtTheEndDaemonsAreTerminatedAndOthersJoined) {
  for (const Method inner : {Method::fork, Method::spawn, Method::forkserver}) {
    const std::string method = std::to_string(static_cast<int>(inner));
    EXPECT_EQ(ask(GetParam(), "parent", method + " daemons"), "alive then " + std::to_string(-SIGTERM));
    EXPECT_EQ(ask(GetParam(), "parent", method + " others"), "alive then 0");
  }
}

TEST(Daemon, IsKilledWhenItIgnoresItsTermination) {
  EXPECT_EQ(ask(Method::fork, "parent", std::to_string(static_cast<int>(Method::fork)) + " stubborn daemons"),
            "alive then " + std::to_string(-SIGKILL));
}

TEST_P(EachProcess, AKilledParentTakesItsChildrenAlong) {
  for (const Method inner : {Method::fork, Method::spawn, Method::forkserver}) {
    auto [reader, writer] = make_pipe();
    Process process(GetParam(), "parent", std::to_string(static_cast<int>(inner)) + " leaves", {writer.get()});
    process.start();
    writer.reset();
    std::string text;
    for (std::array<char, 1> byte; text.find(' ') == std::string::npos; text += byte[0]) {
      ASSERT_EQ(read_full(reader.get(), std::as_writable_bytes(std::span(byte))), 1u);
    }
    process.kill();
    process.join(kLimit);
    EXPECT_TRUE(gone(std::stoi(text)));
  }
}

TEST_P(EachProcess, FinalizersRunByPriorityTheNewestFirst) {
  EXPECT_EQ(ask(GetParam(), "finalizers", ""), "15 newer 10 0 -5 -100 ");
}

TEST_P(EachMethod, StartingAndAskingReapsWhatHasEnded) {
  Process first(GetParam(), "act");
  first.start();
  ASSERT_TRUE(wait_for(first.sentinel(), POLLIN, Clock::now() + kLimit));
  Patient second(GetParam());
  const auto active = active_children();
  ASSERT_EQ(active.size(), 1u);
  EXPECT_EQ(active[0].name(), second.process.name());
  if (GetParam() == Method::fork || GetParam() == Method::spawn) {
    EXPECT_EQ(::waitpid(first.pid(), nullptr, WNOHANG), -1);  // reaped already
  }
  second.tell();
  second.process.join(kLimit);
  EXPECT_TRUE(active_children().empty());
}

TEST_P(EachProcess, AWorkerKnowsItsNameAndWhoAskedForIt) {
  EXPECT_EQ(ask(GetParam(), "answer", "self"), "asked/MainProcess/" + std::to_string(::getpid()));
  EXPECT_TRUE(Process(GetParam(), "act").name().starts_with("Process-"));
}

TEST_P(EachProcess, ItsParentIsItsCreatorOrTheServer) {
  const auto told = ask(GetParam(), "answer", "getppid");
  EXPECT_EQ(told, std::to_string(GetParam() == Method::forkserver ? fork_server_pid() : ::getpid()));
}

TEST_P(EachProcess, StdinIsDevNull) { EXPECT_EQ(ask(GetParam(), "answer", "stdin"), "null"); }

TEST_P(EachProcess, OnlyAForkedWorkerSeesTheParentsMemory) {
  answer_value = 42;
  EXPECT_EQ(ask(GetParam(), "answer", "value"), GetParam() == Method::fork ? "42" : "1");
  answer_value = 1;
}

TEST_P(EachProcess, OnlyAForkedWorkerHasDescriptorsThatWereNotListed) {
  const int stray = ::fcntl(STDERR_FILENO, F_DUPFD, 500);  // not close-on-exec
  EXPECT_EQ(ask(GetParam(), "answer", "fd " + std::to_string(stray)), GetParam() == Method::fork ? "open" : "closed");
  ::close(stray);
}

TEST_P(EachMethod, ListedDescriptorsArrive) {
  EXPECT_EQ(ask(GetParam(), "answer", "count", std::vector<int>(100, STDERR_FILENO)), "101");
}

TEST_P(EachMethod, ArgumentsMayBeLarge) {
  EXPECT_EQ(ask(GetParam(), "answer", "length " + std::string(16 << 20, 'x')), std::to_string(7 + (16 << 20)));
}

TEST(ForkServer, AKilledOneIsStatus255AndTheNextStartMakesAnother) {
  Process process(Method::forkserver, "act", "pause");
  process.start();
  const pid_t server = fork_server_pid();
  ::kill(server, SIGKILL);
  process.join(kLimit);
  EXPECT_EQ(process.exit_code(), 255);
  EXPECT_EQ(run(Method::forkserver, "act", "return 7"), 7);
  EXPECT_NE(fork_server_pid(), server);
}

TEST(ForkServer, TheExecutedOneIgnoresInterruptsFromTheStart) {
  stop_fork_server();
  for (int i = 0; i < 5; ++i) {
    Process process(Method::forkserver, "act", "return 7");
    process.start();
    const pid_t server = fork_server_pid();
    ::kill(server, SIGINT);
    process.join(kLimit);
    EXPECT_EQ(process.exit_code(), 7);
    EXPECT_EQ(run(Method::forkserver, "act", "return 7"), 7);
    EXPECT_EQ(fork_server_pid(), server);
    stop_fork_server();
  }
}

TEST(Fork, WithThreadsWarnsAndCopiesTheirLocks) {
  std::jthread other([](const std::stop_token& stop) {
    const std::lock_guard lock(held);
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
  });
  while (held.try_lock()) {
    held.unlock();
    std::this_thread::sleep_for(1ms);
  }
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(Method::fork, "try_lock"), 3);
  EXPECT_NE(testing::internal::GetCapturedStderr().find(" threads: a lock"), std::string::npos);
  EXPECT_EQ(run(Method::spawn, "try_lock"), 0);
  EXPECT_EQ(run(Method::forkserver, "try_lock"), 0);
}

}  // namespace
}  // namespace lab::start
