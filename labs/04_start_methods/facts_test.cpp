// The lab's facts, and that looking at them leaves nothing behind (the guard this runs under fails what does).
#include "facts.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <set>

#include "common/multiprocessing/process/spawn.hpp"
#include "common/os/children.hpp"
#include "parents.hpp"
#include "tree.hpp"

namespace lab::start {
namespace {

TEST(Facts, Hold) {
  for (const auto& look : {crash_is_contained, names_outlive_their_makers, forked_locks_stay_locked}) {
    const Seen seen = look();
    EXPECT_TRUE(seen.holds) << seen.what;
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their shadow memory is private memory, too
TEST(Facts, APrivatePageIsOneThatWasWrittenTo) {
  const Seen seen = copies_what_it_touches();
  EXPECT_TRUE(seen.holds) << seen.what;
}

TEST(Memory, OnlyAForkedWorkerFindsTheParentsTable) {
  EXPECT_GT(child_memory(Method::fork, 16).after_writing, 15);
  EXPECT_LT(child_memory(Method::spawn, 16).after_writing, 15);
  EXPECT_LT(child_memory(Method::forkserver, 16).after_writing, 15);
}
#endif

std::vector<std::string> segments() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    if (entry.path().filename().string().find("lab-04-") != std::string::npos) names.push_back(entry.path());
  }
  return names;
}

TEST(Facts, TheLeakIsCleanedUpWhenItsMakerIsKilledInTheMiddle) {
  std::set<std::string> before;
  for (const auto& file : std::filesystem::directory_iterator("/dev/shm")) before.insert(file.path().filename());
  const pid_t looker = fork_child();
  if (looker == 0) {
    leave([] {
      for (;;) names_outlive_their_makers();
    });
  }
  for (const Deadline limit = Clock::now() + std::chrono::seconds(20); segments().empty() && Clock::now() < limit;)
    ::usleep(500);
  ::kill(looker, SIGKILL);
  ::waitpid(looker, nullptr, 0);
  for (const Deadline limit = Clock::now() + std::chrono::seconds(20); !segments().empty() && Clock::now() < limit;)
    ::usleep(1000);
  EXPECT_TRUE(segments().empty());
  // Killed inside sem_open, a process leaves the file that the C library makes before it gives it its name: sem.XXXXXX.
  for (const auto& file : std::filesystem::directory_iterator("/dev/shm")) {
    const std::string name = file.path().filename();
    if (name.starts_with("sem.") && name.size() == 10 && before.count(name) == 0) std::filesystem::remove(file.path());
  }
}

TEST(SizedParent, DoesEveryJobAndSaysWhatFails) {
  SizedParent parent(8, Pages::small);
  for (const auto& [job, todo] : kJobs) {
    EXPECT_GT(parent.seconds(job, 2), 0) << job;
  }
  EXPECT_THROW(parent.seconds("nonsense", 1), std::runtime_error);
  EXPECT_GT(parent.seconds("fork", 1), 0);
}

// The words of the error, or none.
std::string failure_of(SizedParent& parent, const std::string& job) {
  try {
    parent.seconds(job, 1);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

TEST(SizedParent, SaysHowItEndedWhenItIsKilled) {
  std::signal(SIGPIPE, SIG_IGN);  // as lab::run does
  SizedParent parent(1, Pages::small);
  const auto children = active_children();
  ASSERT_EQ(children.size(), 1u);
  ASSERT_EQ(::kill(children[0].pid(), SIGKILL), 0);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(failure_of(parent, "fork"), "Parent-1 has ended with signal 9 (Killed)");
}

TEST(Tree, ShowsEveryMethodsParent) {
  const std::string tree = family_tree();
  EXPECT_EQ(std::count(tree.begin(), tree.end(), '\n'), 9) << tree;
  EXPECT_NE(tree.find("\n    Process-"), std::string::npos) << tree;  // the fork server's worker, one level deeper
}

}  // namespace
}  // namespace lab::start

int main(int argc, char** argv) {
  if (argc == 2 && argv[1] == std::string(lab::four_ways::kReturnAtOnce)) return 0;
  lab::four_ways::become_worker(argc, argv);
  lab::start::become_worker(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
