// The tracker's rules, one test each. Every tracker here is a process of its own, with names of its own.
#include "common/multiprocessing/process/resource_tracker.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "common/multiprocessing/process/process.hpp"
#include "common/multiprocessing/process/test_main.hpp"
#include "common/os/test_child.hpp"

namespace lab::start {
namespace {

constexpr auto kSegment = Resource::shared_memory;
constexpr auto kSemaphore = Resource::semaphore;

std::string unique(const char* what) { return "/lab04-test-" + std::to_string(::getpid()) + "-" + what; }
void make_segment(const std::string& name) { Descriptor(::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600)); }
void make_semaphore(const std::string& name) { ::sem_close(::sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 1)); }
bool segment_there(const std::string& name) {
  return static_cast<bool>(Descriptor(::shm_open(name.c_str(), O_RDWR, 0)));
}
bool semaphore_there(const std::string& name) {
  sem_t* semaphore = ::sem_open(name.c_str(), 0);
  if (semaphore != SEM_FAILED) ::sem_close(semaphore);
  return semaphore != SEM_FAILED;
}

// What the tracker said until its end, and its exit status.
struct Said {
  int status;
  std::string text;
};
template <class Talk>
Said run(Talk talk) {
  ResourceTracker tracker;
  testing::internal::CaptureStderr();
  talk(tracker);
  const int status = tracker.stop();
  return {status, testing::internal::GetCapturedStderr()};
}

TEST(ResourceTracker, NothingLeftIsStatusZeroAndSilence) {
  const Said said = run([](ResourceTracker& tracker) {
    tracker.add(kSegment, "/a");
    tracker.add(kSemaphore, "/a");
    tracker.probe();
    tracker.forget(kSegment, "/a");
    tracker.forget(kSemaphore, "/a");
  });
  EXPECT_EQ(said.status, ResourceTracker::clean);
  EXPECT_EQ(said.text, "");
}

TEST(ResourceTracker, WhatIsLeftIsRemovedWithOneWarningAType) {
  const std::string a = unique("a"), b = unique("b"), s = unique("s");
  const Said said = run([&](ResourceTracker& tracker) {
    make_segment(a);
    make_segment(b);
    make_semaphore(s);
    tracker.add(kSegment, a);
    tracker.add(kSegment, b);
    tracker.add(kSemaphore, s);
  });
  EXPECT_EQ(said.status, ResourceTracker::leaks);
  EXPECT_NE(said.text.find("2 leaked shared_memory objects to clean up: " + a + ", " + b + "\n"), std::string::npos)
      << said.text;
  EXPECT_NE(said.text.find("1 leaked semaphore object to clean up: " + s + "\n"), std::string::npos) << said.text;
  EXPECT_FALSE(segment_there(a) || segment_there(b) || semaphore_there(s));
}

TEST(ResourceTracker, AFailedRemovalIsStatusTwo) {
  EXPECT_EQ(run([](ResourceTracker& tracker) { tracker.add(kSegment, unique("never-made")); }).status,
            ResourceTracker::unlink_failed);
}

TEST(ResourceTracker, IsASetTwoRegistrationsAndOneUnregistrationForget) {
  const Said said = run([](ResourceTracker& tracker) {
    tracker.add(kSegment, "/twice");
    tracker.add(kSegment, "/twice");
    tracker.forget(kSegment, "/twice");
  });
  EXPECT_EQ(said.status, ResourceTracker::clean);
}

TEST(ResourceTracker, ForgettingTheUnknownIsStatusThree) {
  const Said said = run([](ResourceTracker& tracker) { tracker.forget(kSegment, "/never"); });
  EXPECT_EQ(said.status, ResourceTracker::protocol_error);
  EXPECT_NE(said.text.find("was not registered"), std::string::npos);
}

TEST(ResourceTracker, NonsenseIsStatusThreeAndTheRestIsObeyed) {
  const std::string name = unique("after-nonsense");
  for (const std::string& nonsense : {std::string("nonsense\n"), std::string("REGISTER:/a:unicorn\n"),
                                      std::string("\n"), std::string(5000, 'x') + "\n"}) {
    make_segment(name);
    const Said said = run([&](ResourceTracker& tracker) {
      const int fd = tracker.descriptor();
      write_all(fd, std::as_bytes(std::span(nonsense)));
      tracker.add(kSegment, name);
    });
    EXPECT_EQ(said.status,
              ResourceTracker::leaks);  // as in CPython the last to be found decides, and here that is the leak
    EXPECT_FALSE(segment_there(name));
    EXPECT_EQ(run([&](ResourceTracker& tracker) {
                write_all(tracker.descriptor(), std::as_bytes(std::span(nonsense)));
              }).status,
              ResourceTracker::protocol_error);
  }
}

TEST(ResourceTracker, ALineOver512BytesIsRefusedBeforeItIsWritten) {
  const std::size_t around = std::string("UNREGISTER::shared_memory\n").size();
  const Said said = run([&](ResourceTracker& tracker) {
    EXPECT_THROW(tracker.forget(kSegment, std::string(513 - around, 'x')), std::invalid_argument);
    EXPECT_THROW(tracker.add(kSegment, "/two\nlines"), std::invalid_argument);
    const std::string longest(512 - around, 'x');
    tracker.add(kSegment, longest);
    tracker.forget(kSegment, longest);
  });
  EXPECT_EQ(said.status, ResourceTracker::clean);
}

TEST(ResourceTracker, IgnoresInterruptAndTermination) {
  const Said said = run([](ResourceTracker& tracker) {
    tracker.probe();
    for (int i = 0; i < 20; ++i) {  // also right after the start, before it can have set anything
      ::kill(tracker.pid(), SIGINT);
      ::kill(tracker.pid(), SIGTERM);
    }
    tracker.add(kSegment, "/x");
    tracker.forget(kSegment, "/x");
  });
  EXPECT_EQ(said.status, ResourceTracker::clean);
}

TEST(ResourceTracker, AKilledOneIsReplacedWithOneWarningAndWhatItKnewIsLost) {
  const std::string lost = unique("lost"), kept = unique("kept");
  make_segment(lost);
  make_segment(kept);
  pid_t first = 0;
  const Said said = run([&](ResourceTracker& tracker) {
    tracker.add(kSegment, lost);
    first = tracker.pid();
    ::kill(first, SIGKILL);
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(first), &info, WEXITED | WNOWAIT);
    tracker.add(kSegment, kept);
    tracker.probe();
    EXPECT_NE(tracker.pid(), first);
  });
  EXPECT_EQ(said.status, ResourceTracker::leaks);
  EXPECT_EQ(said.text.find("tracker died"), said.text.rfind("tracker died"));
  EXPECT_NE(said.text.find("tracker died"), std::string::npos);
  EXPECT_FALSE(segment_there(kept));
  EXPECT_TRUE(segment_there(lost));
  ::shm_unlink(lost.c_str());
}

// What holds its socket and does not know of it must not keep it, and its starter's end, waiting.
TEST(ResourceTracker, EndsWithItsStarterBesideABystanderThatHoldsItsSocket) {
  const std::string name = unique("beside");
  std::optional<ChildProcess> bystander;
  const Said said = run([&](ResourceTracker& tracker) {
    make_segment(name);
    tracker.add(kSegment, name);
    bystander.emplace(lab::start_child([] { ::pause(); }));
  });
  EXPECT_EQ(said.status, ResourceTracker::leaks);
  EXPECT_FALSE(segment_there(name));
}

// Creators that end in three ways, each with a tracker of its own: CPython removes the segment in all three.
int create(std::string_view how, std::span<Descriptor> out) {
  static ResourceTracker own;
  const std::string name = unique("orphan");
  make_segment(name);
  own.add(kSegment, name);
  write_all(out[0].get(), std::as_bytes(std::span(name)));
  out[0].reset();
  if (how == "_exit") ::_exit(0);
  if (how == "pause") ::pause();
  return 0;
}
int create_in_shared(std::string_view name, std::span<Descriptor>) {
  make_segment(std::string(name));
  ResourceTracker::shared().add(kSegment, std::string(name));
  return 0;
}
[[maybe_unused]] const bool known =
    register_entry("create", create) && register_entry("create_in_shared", create_in_shared);

TEST(ResourceTracker, RemovesWhatACreatorLeavesHoweverItEnds) {
  for (const char* how : {"return", "_exit", "pause"}) {
    auto [reader, writer] = make_pipe();
    Process process(Method::spawn, "create", how, {writer.get()});
    process.start();
    writer.reset();
    std::array<char, 100> text{};
    const std::string name(text.data(), read_full(reader.get(), std::as_writable_bytes(std::span(text))));
    if (how == std::string("pause")) process.kill();
    process.join();
    for (const Deadline deadline = Clock::now() + std::chrono::seconds(10);
         segment_there(name) && Clock::now() < deadline;)
      ::usleep(1000);
    EXPECT_FALSE(segment_there(name)) << how;
  }
}

TEST(ResourceTracker, AChildsSegmentStaysUntilTheWholeProgramEnds) {
  for (const Method method : {Method::spawn, Method::forkserver, Method::fork}) {
    const std::string name = unique("childs");
    ResourceTracker::shared().probe();
    Process process(method, "create_in_shared", name);
    process.start();
    process.join();
    EXPECT_EQ(process.exit_code(), 0);
    ::usleep(20'000);
    EXPECT_TRUE(segment_there(name)) << to_string(method);
    ResourceTracker::shared().forget(kSegment, name);  // the same tracker knows it
    ::shm_unlink(name.c_str());
  }
}

TEST(ResourceTracker, WhatAKilledChildLeavesIsRemovedAtTheEndOfTheProgram) {
  const std::string name = unique("killed-childs");
  const Said said = run([&](ResourceTracker& tracker) {
    tracker.probe();
    const pid_t child = fork_child();
    if (child == 0) {
      leave([&] {
        make_segment(name);
        tracker.add(kSegment, name);
        ::raise(SIGKILL);
      });
    }
    ::waitpid(child, nullptr, 0);
    tracker.probe();
    EXPECT_TRUE(segment_there(name));
  });
  EXPECT_EQ(said.status, ResourceTracker::leaks);
  EXPECT_FALSE(segment_there(name));
}

// The trap: another program that merely attaches, and tracks what it attached, destroys it under its owner. The repair
// is not to track what one has not created (Python 3.13: track=False).
TEST(ResourceTracker, AStrangersTrackerDestroysWhatItOnlyAttached) {
  const std::string name = unique("owners");
  make_segment(name);
  EXPECT_EQ(run([&](ResourceTracker&) { EXPECT_TRUE(segment_there(name)); }).status, -1);  // attached, not tracked
  EXPECT_TRUE(segment_there(name));
  EXPECT_EQ(run([&](ResourceTracker& strangers) { strangers.add(kSegment, name); }).status, ResourceTracker::leaks);
  EXPECT_FALSE(segment_there(name));
}

}  // namespace
}  // namespace lab::start
