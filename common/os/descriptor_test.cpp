#include "common/os/descriptor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "common/os/mapping.hpp"
#include "common/os/test_child.hpp"

namespace {

using namespace lab;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(Descriptor, ClosesWhatItOwnsOnceAndHandsItOver) {
  auto [reader, writer] = make_pipe();
  const int read_end = reader.get(), write_end = writer.get();
  {
    Descriptor owner = std::move(reader);
    EXPECT_FALSE(reader);
    EXPECT_TRUE(is_open(read_end));
    Descriptor& itself = owner;
    owner = std::move(itself);
    EXPECT_TRUE(is_open(read_end));
    owner = std::move(writer);
    EXPECT_FALSE(is_open(read_end));
  }
  EXPECT_FALSE(is_open(write_end));
  const int mine = ::dup(STDERR_FILENO);
  EXPECT_EQ(Descriptor(mine).release(), mine);
  EXPECT_TRUE(is_open(mine));
  ::close(mine);
}

TEST(Descriptor, NoProgramInheritsIt) {
  const auto [reader, writer] = make_pipe();
  const auto [one, other] = make_socket_pair(SOCK_SEQPACKET);
  for (const int fd : {reader.get(), writer.get(), one.get(), other.get()})
    EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(Descriptor, WaitsForDataForTheEndAndForTheDeadline) {
  auto [reader, writer] = make_pipe();
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(20);
  EXPECT_FALSE(wait_for(reader.get(), POLLIN, deadline));
  EXPECT_GE(Clock::now(), deadline);
  EXPECT_FALSE(wait_for(reader.get(), POLLIN, Clock::now() - std::chrono::hours(1)));
  EXPECT_TRUE(wait_for(writer.get(), POLLOUT, soon()));
  write_all(writer.get(), bytes_of("x"));
  EXPECT_TRUE(wait_for(reader.get(), POLLIN, Deadline::max()));
  std::byte byte{};
  EXPECT_EQ(read_full(reader.get(), {&byte, 1}), 1u);
  writer.reset();
  EXPECT_TRUE(wait_for(reader.get(), POLLIN, Deadline::max()));
  EXPECT_EQ(read_full(reader.get(), {&byte, 1}), 0u);
}

TEST(Descriptor, ErrorsAreSentences) {
  std::signal(SIGPIPE, SIG_IGN);
  auto [reader, writer] = make_pipe();
  reader.reset();
  EXPECT_EQ(message_of([&, fd = writer.get()] { write_all(fd, bytes_of("x")); }), "cannot write: Broken pipe");
  std::byte byte{};
  EXPECT_EQ(message_of([&] { read_full(-1, {&byte, 1}); }), "cannot read: Bad file descriptor");
}

constexpr std::size_t kMuch = 1 << 20;  // many times what a pipe holds

// The reader waits for `ready`, then says by its status whether kMuch bytes arrived, each the low bits of its place.
pid_t start_reader(const Descriptor& from, const Descriptor& not_mine, const std::function<void()>& ready) {
  return start_child([fd = from.get(), close = not_mine.get(), ready] {
    ::close(close);
    ready();
    std::vector<std::byte> got(kMuch + 1);
    bool right = read_full(fd, got) == kMuch;
    for (std::size_t i = 0; i < kMuch; ++i) right = right && got[i] == static_cast<std::byte>(i * 7);
    if (!right) throw std::runtime_error("other bytes arrived");
  });
}

void write_much(int fd) {
  std::vector<std::byte> bytes(kMuch);
  for (std::size_t i = 0; i < kMuch; ++i) bytes[i] = static_cast<std::byte>(i * 7);
  write_all(fd, bytes);
}

TEST(Descriptor, NonBlockingEndsAreWaitedFor) {
  auto [reader, writer] = make_pipe();
  for (const int fd : {reader.get(), writer.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  const pid_t child = start_reader(reader, writer, [] {});
  reader.reset();
  write_much(writer.get());
  writer.reset();
  EXPECT_EQ(end_of(child), "status 0");
}

// A timer interrupts every system call that blocks: the handler is set without SA_RESTART.
std::atomic<int>* interruptions = nullptr;

struct Interrupted : testing::Test {
  Interrupted() {
    interruptions = &*count;
    struct sigaction action {};
    action.sa_handler = [](int) { interruptions->fetch_add(1); };
    ::sigaction(SIGALRM, &action, nullptr);
    const itimerval every_millisecond{{0, 1000}, {0, 1000}};
    ::setitimer(ITIMER_REAL, &every_millisecond, nullptr);
  }
  ~Interrupted() override {
    const itimerval off{};
    ::setitimer(ITIMER_REAL, &off, nullptr);
  }
  // For the child, which has no timer: by then the parent has been blocked for a while.
  void wait_for_interruptions() const {
    for (const int seen = *count; *count < seen + 5;) std::this_thread::yield();
  }
  Shared<std::atomic<int>> count{0};
};

TEST_F(Interrupted, WritesGoOn) {
  auto [reader, writer] = make_pipe();
  const pid_t child = start_reader(reader, writer, [this] { wait_for_interruptions(); });
  reader.reset();
  write_much(writer.get());
  writer.reset();
  EXPECT_EQ(end_of(child), "status 0");
}

TEST_F(Interrupted, WaitsAndReadsGoOn) {
  auto [reader, writer] = make_pipe();
  const pid_t child = start_child([&, fd = writer.get()] {
    wait_for_interruptions();
    write_all(fd, bytes_of("a"));
    wait_for_interruptions();
    write_all(fd, bytes_of("b"));
  });
  EXPECT_TRUE(wait_for(reader.get(), POLLIN, soon()));
  std::array<std::byte, 2> got{};
  EXPECT_EQ(read_full(reader.get(), got), 2u);
  EXPECT_EQ(std::memcmp(got.data(), "ab", 2), 0);
  EXPECT_EQ(end_of(child), "status 0");
}

TEST(ReadFull, HalfOfWhatWasAskedForByTheDeadlineIsAnError) {
  auto [reader, writer] = make_pipe();
  write_all(writer.get(), bytes_of("half"));
  std::array<std::byte, 8> bytes;
  try {
    read_full(reader.get(), bytes, Clock::now() + std::chrono::milliseconds(20));
    ADD_FAILURE() << "read what was not there";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::timed_out);
  }
  write_all(writer.get(), bytes_of("complete"));
  EXPECT_EQ(read_full(reader.get(), bytes, soon()), 8u);
}

}  // namespace
