#include "hostile.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/os/test_corpus.hpp"
#include "test_pools.hpp"

namespace lab::pool {
namespace {

TEST(Hostile, TheFuzzersCorpusIsAnsweredWithSentences) {
  const auto inputs = read_corpus(READERS_CORPUS);
  EXPECT_GT(inputs.size(), 20u);
  for (const std::string& input : inputs) EXPECT_NO_THROW(read_hostile_bytes(input));
}

// What a worker process may write on its pipe instead of the reply it owes.
enum class Mischief : int {
  noise,           // a frame that is no reply
  oversized,       // a length beyond the limit
  another_type,    // a reply whose number is none
  another_number,  // a reply to what it was not sent
  twice,           // its reply, and the same once more
  half,            // the beginning of a frame, and its end
  count,
};

// The only pipe a worker holds the writing end of is the one for its replies.
int replies_of_this_worker() {
  for (int fd = 3; fd < 256; ++fd) {
    struct stat status {};
    if (::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
      return fd;
  }
  throw std::logic_error("no pipe for replies");
}
std::string reply_frame(const std::string& body) {
  std::string frame;
  const std::size_t at = open_frame(frame);
  frame += body;
  close_frame(frame, at);
  return frame;
}

// The worker's first task, so chunk 1; then it stalls, until it is ended.
int misbehave(int how) {
  const std::string reply = reply_frame(encode(std::uint64_t{1}) + "v" + encode(7));
  const std::string answer = std::array<std::string, static_cast<int>(Mischief::count)>{
      reply_frame("what is this?"),
      "\xff\xff\xff\xff and so on",
      reply_frame(encode(std::int32_t{1}) + "vvvvvvvv"),
      reply_frame(encode(std::uint64_t{9}) + "v" + encode(7)),
      reply + reply,
      reply.substr(0, 10)}[how];
  write_all(replies_of_this_worker(), std::as_bytes(std::span(answer)));
  if (how == static_cast<int>(Mischief::half)) ::raise(SIGKILL);
  while (true) ::pause();
}
const bool known = register_task("misbehave", misbehave);

// Whatever it writes: its own task fails (or, where it had been answered, is done), it is named, ended and replaced;
// no other task is touched.
TEST(Hostile, AWorkerThatMisbehavesIsEndedAndReplaced) {
  for (int how = 0; how < static_cast<int>(Mischief::count); ++how) {
    Pool pool(with(2));
    const auto before = pool.pids();
    ::testing::internal::CaptureStderr();
    const auto bad = pool.apply_async<int>("misbehave", std::tuple(how));
    const auto others = pool.map_async<int>("square", up_to(200), 1);
    std::string sentence;
    try {
      EXPECT_TRUE(bad.get(kSoon) == 7 && how == static_cast<int>(Mischief::twice)) << how;
    } catch (const WorkerLost& lost) {
      sentence = lost.what();
    }
    EXPECT_EQ(others.get(kSoon).size(), 200u) << how;
    EXPECT_TRUE(eventually([&] { return pool.pids() != before; })) << how;  // replaced
    EXPECT_EQ(pool.map_async<int>("square", up_to(3), 1).get(kSoon), (std::vector{0, 1, 4})) << how;
    const std::string said = ::testing::internal::GetCapturedStderr();
    if (how == static_cast<int>(Mischief::half)) {
      EXPECT_NE(sentence.find("signal 9"), sentence.npos) << sentence;
    } else {
      EXPECT_NE(said.find("ForkPoolWorker-"), said.npos) << how << said;
      EXPECT_NE(said.find("is ended: "), said.npos) << how << said;
    }
    EXPECT_EQ(sentence.find("task misbehave") == sentence.npos, how == static_cast<int>(Mischief::twice)) << sentence;
  }
}

int make_noise(int) {
  write_all(replies_of_this_worker(), std::as_bytes(std::span(std::string_view(reply_frame("what is this?")))));
  return 0;
}
const bool known_too = register_task("make_noise", make_noise);

// By the time its noise is noticed a worker may have begun further chunks: nobody reads their replies, so all are told.
TEST(Hostile, EveryTaskAMisbehavingWorkerHadBegunIsTold) {
  for (int i = 0; i < 4; ++i) seen()[i] = 0;
  Pool pool(with(1));
  pool.map<int>("square", up_to(1000), 1);  // short ones: from now on several are on their way at once
  // Nothing is read as long as a callback runs.
  const auto first = pool.apply_async<int>("wait_for_flag", std::tuple(1), {.callback = [](int) {
                                             seen()[2] = 1;
                                             eventually([] { return seen()[3] == 4; }, 2s);
                                           }});
  seen()[1] = 1;
  ASSERT_TRUE(eventually([] { return seen()[2] == 1; }));
  std::vector results{pool.apply_async<int>("make_noise", std::tuple(1))};
  for (int i = 0; i < 4; ++i) results.push_back(pool.apply_async<int>("mark", std::tuple(3)));
  for (const auto& result : results) {
    try {
      EXPECT_EQ(result.get(kSoon), 3);
    } catch (const WorkerLost&) {
    }
  }
  EXPECT_FALSE(results.front().successful());
  EXPECT_EQ(pool.apply_async<int>("square", std::tuple(3)).get(kSoon), 9);
}

}  // namespace
}  // namespace lab::pool
