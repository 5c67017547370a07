// Each test runs the built guard on a shell command that leaves one thing behind, and looks for the guard's word on it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

class Guard : public testing::Test {
 protected:
  // The guard under test makes its folders here, so that one killed leaves nothing to the guard around this test.
  void SetUp() override {
    room_ = outer_ + "/test-XXXXXX";
    ASSERT_NE(mkdtemp(room_.data()), nullptr);
    setenv("TMPDIR", room_.c_str(), 1);
  }
  void TearDown() override {
    if (pid_ > 0) finish();
    if (output_ >= 0) close(output_);
    std::filesystem::remove_all(room_);
    setenv("TMPDIR", outer_.c_str(), 1);
  }

  void start(const std::string& script) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    pid_ = fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      dup2(ends[1], STDERR_FILENO);
      close(ends[0]);
      close(ends[1]);
      execl(GUARD, "guard", "--", "sh", "-c", script.c_str(), nullptr);
      _exit(99);
    }
    close(ends[1]);
    output_ = ends[0];
  }

  // Reads until `word` has come or nobody is left who could write: an orphan that lived would hold the pipe open.
  bool read_until(const std::string& word) {
    pollfd waiting{output_, POLLIN, 0};
    char bytes[4096];
    while (word.empty() || said_.find(word) == std::string::npos) {
      if (poll(&waiting, 1, 20'000) <= 0) return false;
      const ssize_t n = read(output_, bytes, sizeof bytes);
      if (n <= 0) return word.empty();
      said_.append(bytes, static_cast<size_t>(n));
    }
    return true;
  }

  int finish() {
    EXPECT_TRUE(read_until("")) << "somebody still holds the output";
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  int run(const std::string& script) {
    start(script);
    return finish();
  }

  bool left(const std::string& what) const { return said_.find(what) != std::string::npos; }
  bool room_is_empty() const { return std::filesystem::is_empty(room_); }

  const std::string outer_ = std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/tmp";
  std::string room_;
  std::string said_;
  pid_t pid_ = -1;
  int output_ = -1;
};

TEST_F(Guard, LetsACleanCommandPass) {
  EXPECT_EQ(run("echo fine; touch $TMPDIR/a; rm $TMPDIR/a"), 0);
  EXPECT_EQ(said_, "fine\n");
  EXPECT_TRUE(room_is_empty());
}

TEST_F(Guard, PassesTheExitStatusOn) {
  EXPECT_EQ(run("exit 3"), 3);
}

TEST_F(Guard, PassesSkippedOn) {
  EXPECT_EQ(run("exit 77"), 77);
}

TEST_F(Guard, TellsDeathBySignal) {
  EXPECT_EQ(run("kill -SEGV $$"), 128 + SIGSEGV);
}

TEST_F(Guard, SaysWhatItCannotRun) {
  EXPECT_EQ(run("exec /no/such/program"), 127);
}

TEST_F(Guard, FindsAnOrphan) {
  EXPECT_EQ(run("(sleep 1001 &)"), 1);
  EXPECT_TRUE(left("(sleep): sleep 1001")) << said_;
}

TEST_F(Guard, FindsAnOrphanWhereItCannotSaySo) {
  EXPECT_EQ(run(GUARD " sh -c '(sleep 1003 &)' 2>/dev/full; echo status $?"), 0);
  EXPECT_NE(said_.find("status 1\n"), std::string::npos) << said_;
}

TEST_F(Guard, FindsAGrandchildInASessionOfItsOwn) {
  EXPECT_EQ(run("sh -c \"setsid sh -c \\\"sleep 1002; true\\\" &\" & wait"), 1);
  EXPECT_TRUE(left("(sh): sh -c sleep 1002; true")) << said_;
  EXPECT_TRUE(left("(sleep): sleep 1002")) << said_;
}

TEST_F(Guard, WaitsForWhatIsAlreadyDying) {
  EXPECT_EQ(run("(sleep 0.2 &)"), 0);
  EXPECT_EQ(said_, "");
}

TEST_F(Guard, FindsAFile) {
  EXPECT_EQ(run("mkdir $TMPDIR/d; touch $TMPDIR/d/f; exit 77"), 1);
  EXPECT_TRUE(left("$TMPDIR/d/f")) << said_;
  EXPECT_TRUE(room_is_empty());
}

TEST_F(Guard, FindsASharedMemorySegment) {
  const std::string segment = "/dev/shm/guard_test_" + std::to_string(getpid());
  EXPECT_EQ(run("touch " + segment), 1);
  EXPECT_TRUE(left(segment)) << said_;
  std::filesystem::remove(segment);  // where the guard could not have a /dev/shm of its own
}

TEST_F(Guard, PassesOverSegmentsThatWereThereBefore) {
  const std::string segment = "/dev/shm/guard_test_" + std::to_string(getpid());
  ASSERT_EQ(std::system(("touch " + segment).c_str()), 0);
  EXPECT_EQ(run("true"), 0);
  std::filesystem::remove(segment);
}

// Not a test: what the next one runs.
TEST(Culprit, DISABLED_LeavesAMessageQueue) {
  const mqd_t queue = mq_open("/guard_test_queue", O_CREAT | O_RDWR, 0600, nullptr);
  ASSERT_GE(queue, 0);
  mq_close(queue);
}

TEST_F(Guard, FindsAMessageQueue) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const int code = run("exec " + self + " --gtest_filter=Culprit.* --gtest_also_run_disabled_tests");
  mq_unlink("/guard_test_queue");  // where the guard could not have queues of its own
  if (code == 0 && !std::filesystem::exists("/dev/mqueue")) GTEST_SKIP() << "no view of message queues here";
  EXPECT_EQ(code, 1);
  EXPECT_TRUE(left("/dev/mqueue/guard_test_queue")) << said_;
}

TEST_F(Guard, ForwardsSignals) {
  start("trap \"exit 5\" TERM; echo ready; while :; do sleep 0.02; done");
  ASSERT_TRUE(read_until("ready"));
  kill(pid_, SIGTERM);
  EXPECT_EQ(finish(), 5);
}

TEST_F(Guard, TakesTheCommandAlongWhenKilled) {
  start("echo ready; exec sleep 1003");
  ASSERT_TRUE(read_until("ready"));
  kill(pid_, SIGKILL);
  EXPECT_EQ(finish(), -SIGKILL);
}

}  // namespace
