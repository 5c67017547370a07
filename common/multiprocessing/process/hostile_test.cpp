// Readers of messages against hostile bytes, and a fork server against hostile clients.
#include "common/multiprocessing/process/hostile.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "common/multiprocessing/process/test_nursery.hpp"
#include "common/os/test_child.hpp"
#include "common/os/test_corpus.hpp"

namespace lab::start {
namespace {

using std::string_literals::operator""s;

TEST(Hostile, TheFuzzersCorpusIsAnsweredOrRefused) {
  const auto inputs = read_corpus(READERS_CORPUS);
  EXPECT_GT(inputs.size(), 20u);
  for (const std::string& input : inputs) EXPECT_NO_THROW(read_hostile_bytes(input));
}

std::string frame_of(const Order& order) {
  const std::string body = encode(order);
  const auto length = static_cast<std::uint32_t>(body.size());
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + body;
}

TEST(Hostile, ValidMessagesCutAndChangedAnywhere) {
  const std::string order = frame_of({.entry = "entry", .argument = "argument", .name = "Process-1", .parent = 7});
  for (const std::string& whole :
       {"\0\2\1f\1\1f"s, "\1"s + order, "\2\5\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0"s,
        "\3REGISTER:/name:shared_memory\nUNREGISTER:/name:shared_memory\nREGISTER:/b:semaphore\nPROBE:0:noop\n"s}) {
    for (std::size_t at = 0; at <= whole.size(); ++at) EXPECT_NO_THROW(read_hostile_bytes(whole.substr(0, at)));
    for (std::size_t at = 1; at < whole.size(); ++at) {
      for (const char c : {'\0', '\x7f', '\x80', '\xff', ':', '\n'}) {
        std::string changed = whole;
        changed[at] = c;
        EXPECT_NO_THROW(read_hostile_bytes(changed));
      }
    }
  }
}

int give_back(std::string_view argument, std::span<Descriptor>) { return std::stoi(std::string(argument)); }
[[maybe_unused]] const bool known = register_entry("give_back", give_back);

std::size_t descriptors_of(pid_t pid) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    ++count;
  }
  return count;
}

// A server with one end of its request socket here, for packets of any content.
struct HostileClient : testing::Test {
  HostileClient() {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    server = lab::start_child([&, &mine = ours, &socket = theirs] {
      mine.reset();
      serve_forks(std::move(socket));
    });
    requests = ours.get();
    nursery.emplace(ChildProcess(server), std::move(ours));
    right();
    descriptors = descriptors_of(server);
  }
  // The server does what others ask it for, and has kept nothing.
  void right() { EXPECT_EQ(nursery->start("give_back", "5").exit_code(soon()), 5); }
  ~HostileClient() override {
    right();
    for (const Deadline limit = soon(); descriptors_of(server) > descriptors && Clock::now() < limit;) ::usleep(1000);
    EXPECT_LE(descriptors_of(server), descriptors);
  }
  pid_t server = 0;
  int requests = -1;
  std::optional<TestNursery> nursery;
  std::size_t descriptors = 0;
};

std::int64_t first_answer(int socket) {
  EXPECT_TRUE(wait_for(socket, POLLIN, soon()));
  std::int64_t number = 0;
  return ::recv(socket, &number, sizeof number, 0) == sizeof number ? number : 0;
}

TEST_F(HostileClient, SendsWhatIsNoRequest) {
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  for (const std::string& content : {""s, "f"s, "x"s, "ff"s, std::string(5000, 'f')}) {
    for (const std::size_t copies : {0, 1, 200, 253}) {
      if (content == "f" && copies > 0) continue;
      ASSERT_TRUE(send_packet(requests, content, copies, theirs.get()));
      EXPECT_EQ(copies > 0 ? first_answer(ours.get()) : -EBADMSG, -EBADMSG);
    }
  }
}

TEST_F(HostileClient, SendsNoOrderOrHalfOfOne) {
  for (const std::string& order : {""s, "\1"s, "\377\377\377\377"s, "nonsense"s, frame_of({.entry = "give_back"}),
                                   frame_of({.entry = "give_back", .argument = "1"}).substr(0, 20)}) {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    ASSERT_TRUE(send_packet(requests, "f", 200, theirs.get()));
    theirs.reset();
    write_all(ours.get(), std::as_bytes(std::span(order)));
    const std::int64_t worker = first_answer(ours.get());
    EXPECT_GT(worker, 0);
    right();  // while the other's worker waits, or fails
    ours.reset();
    EXPECT_TRUE(is_gone(static_cast<pid_t>(worker)));
  }
}

TEST_F(HostileClient, ListensToNoAnswer) {
  auto [reader, writer] = make_pipe();
  const Descriptor file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  ours.reset();  // hung up before it has asked
  reader.reset();
  for (const int deaf : {writer.get(), file.get(), theirs.get()}) {
    ASSERT_TRUE(send_packet(requests, "f", 1, deaf));
    right();
  }
}

}  // namespace
}  // namespace lab::start
