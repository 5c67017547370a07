#include "common/os/message.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <cstring>
#include <system_error>

#include "common/os/test_allocations.hpp"
#include "common/os/test_child.hpp"

namespace {

using namespace lab;

std::string frame(std::string_view body) {
  const auto length = static_cast<std::uint32_t>(body.size());
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes.append(body);
}

void write_text(int fd, std::string_view text) { write_all(fd, std::as_bytes(std::span(text))); }

// A pipe with these bytes in it, and then its end.
Descriptor holding(std::string_view bytes) {
  auto [reader, writer] = make_pipe();
  write_text(writer.get(), bytes);
  return std::move(reader);
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing thrown";
}

std::string large_body(std::size_t bytes) {
  std::string body(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) body[i] = static_cast<char>(i * 31 + (i >> 12));
  return body;
}

TEST(Message, OneAfterAnotherThenTheEnd) {
  auto [reader, writer] = make_pipe();
  for (const std::string_view body : {"first", "", "third"}) send_message(writer.get(), body);
  writer.reset();
  EXPECT_EQ(receive_message(reader.get()), "first");
  EXPECT_EQ(receive_message(reader.get()), "");
  EXPECT_EQ(receive_message(reader.get()), "third");
  EXPECT_EQ(receive_message(reader.get()), std::nullopt);
}

TEST(Message, IsALengthAndThatManyBytes) {
  auto [reader, writer] = make_pipe();
  send_message(writer.get(), "body");
  writer.reset();
  std::string bytes(100, '\0');
  bytes.resize(read_full(reader.get(), std::as_writable_bytes(std::span(bytes))));
  EXPECT_EQ(bytes, frame("body"));
}

TEST(Message, ArrivesInAnyPieces) {
  auto [reader, writer] = make_socket_pair(SOCK_STREAM);
  const pid_t child = start_child([fd = writer.get()] {
    for (const char byte : frame("in pieces") + frame("x")) write_text(fd, {&byte, 1});
  });
  writer.reset();
  EXPECT_EQ(receive_message(reader.get()), "in pieces");
  EXPECT_EQ(receive_message(reader.get()), "x");
  EXPECT_EQ(receive_message(reader.get()), std::nullopt);
  EXPECT_EQ(end_of(child), "status 0");
}

TEST(Message, CutShortIsRefusedWhereverTheCut) {
  const std::string whole = frame("cut short");
  for (std::size_t n = 1; n < whole.size(); ++n) {
    const Descriptor reader = holding(whole.substr(0, n));
    EXPECT_EQ(message_of([&] { receive_message(reader.get()); }),
              n < 4 ? "end of file inside a message's length" : "got end of file during a message");
  }
}

TEST(Message, LongerThanTheLimitIsRefused) {
  EXPECT_EQ(receive_message(holding(frame("1234")).get(), 4), "1234");
  const Descriptor reader = holding(frame("12345"));
  EXPECT_EQ(message_of([&] { receive_message(reader.get(), 4); }), "message of 5 bytes is beyond the limit of 4");
}

TEST(Message, ALengthAloneCostsLittleMemory) {
  const Descriptor reader = holding(std::string("\0\0\0\4x", 5));  // claims 64 MiB, the limit
  const std::size_t before = allocated_bytes;
  EXPECT_THROW(receive_message(reader.get()), MessageError);
  EXPECT_LT(allocated_bytes - before, std::size_t{300} << 10);
}

class ThroughAPipe : public testing::TestWithParam<bool> {};  // true: the ends do not block

TEST_P(ThroughAPipe, LargeMessagesGoWhole) {
  auto [reader, writer] = make_pipe();
  if (GetParam()) {
    for (const int fd : {reader.get(), writer.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  const std::vector<std::size_t> sizes{1, 65'532, 65'533, 262'143, 262'144, 262'145, 1 << 20, 16 << 20};
  const pid_t child = start_child([&, &from = reader, &not_mine = writer] {
    not_mine.reset();
    for (const std::size_t size : sizes) {
      if (receive_message(from.get()) != large_body(size)) throw std::runtime_error("another message arrived");
    }
    if (receive_message(from.get())) throw std::runtime_error("one message too many");
  });
  reader.reset();
  for (const std::size_t size : sizes) send_message(writer.get(), large_body(size));
  writer.reset();
  EXPECT_EQ(end_of(child), "status 0");
}
INSTANTIATE_TEST_SUITE_P(Message, ThroughAPipe, testing::Bool());

// Small messages fill the socket until one does not fit: it is cut anywhere, in its header too.
TEST(Message, AHeaderThatIsCutIsCompleted) {
  auto [reader, writer] = make_socket_pair(SOCK_STREAM);
  for (const int fd : {reader.get(), writer.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  const pid_t child = start_child([&, &from = reader, &not_mine = writer] {
    not_mine.reset();
    for (int i = 0; i < 50'000; ++i) {
      if (receive_message(from.get()) != std::string(static_cast<std::size_t>(i % 7), 'x'))
        throw std::runtime_error("wrong");
    }
  });
  reader.reset();
  for (int i = 0; i < 50'000; ++i) send_message(writer.get(), std::string(static_cast<std::size_t>(i % 7), 'x'));
  EXPECT_EQ(end_of(child), "status 0");
}

TEST(Message, APeerThatVanishedIsAnError) {
  std::signal(SIGPIPE, SIG_IGN);
  for (const bool at_once : {true, false}) {  // before the message, or in the middle of it
    auto [reader, writer] = make_pipe();
    const pid_t child = start_child([at_once, &from = reader] {
      std::array<std::byte, 10> some{};
      if (!at_once) read_full(from.get(), some);
    });
    reader.reset();
    const std::string end = at_once ? end_of(child) : "";
    const std::string said = message_of([&, &to = writer] { send_message(to.get(), large_body(1 << 20)); });
    EXPECT_NE(said.find("Broken pipe"), std::string::npos) << said;
    EXPECT_EQ(at_once ? end : end_of(child), "status 0");
  }
}

}  // namespace
