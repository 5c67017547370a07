#include "common/multiprocessing/pipe/pipe.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <thread>

#include "common/os/mapping.hpp"
#include "common/os/test_child.hpp"
#include "common/os/test_faults.hpp"

namespace lab::pipe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::string_literals::operator""s;

void write_raw(const Connection& end, std::string_view bytes) {
  write_all(end.fileno(), std::as_bytes(std::span(bytes)));
}

template <class Error, class Call>
std::string sentence_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no such error";
  return "";
}

TEST(Pipe, OneWayGoesOneWay) {
  auto [receiver, sender] = one_way();
  EXPECT_TRUE(receiver.readable() && !receiver.writable() && sender.writable() && !sender.readable());
  sender.send_bytes("there");
  EXPECT_EQ(receiver.recv_bytes(), "there");
  EXPECT_THROW(receiver.send_bytes("back"), NotOpen);
  EXPECT_THROW(sender.recv_bytes(), NotOpen);
  EXPECT_THROW(sender.poll(), NotOpen);
}

TEST(Pipe, DuplexGoesBothWays) {
  auto [a, b] = duplex();
  a.send_bytes("there");
  b.send_bytes("back");
  EXPECT_EQ(b.recv_bytes(), "there");
  EXPECT_EQ(a.recv_bytes(), "back");
}

TEST(Pipe, MessagesKeepTheirBoundariesAndMayBeEmpty) {
  auto [receiver, sender] = one_way();
  for (const auto& message : {"one"s, ""s, "three"s, std::string(300, '\0'), ""s}) sender.send_bytes(message);
  EXPECT_EQ(receiver.recv_bytes(), "one");
  EXPECT_EQ(receiver.recv_bytes(), "");
  EXPECT_EQ(receiver.recv_bytes(), "three");
  EXPECT_EQ(receiver.recv_bytes(), std::string(300, '\0'));
  EXPECT_EQ(receiver.recv_bytes(0), "");
  EXPECT_FALSE(receiver.poll());
}

TEST(Pipe, TheFrameIsABigEndianLengthAndTheBody) {
  auto [receiver, sender] = one_way();
  sender.send_bytes(std::string(258, 'x'));
  std::string raw(262, '\0');
  ASSERT_EQ(read_full(receiver.fileno(), std::as_writable_bytes(std::span(raw))), raw.size());
  EXPECT_EQ(raw, "\0\0\1\2"s + std::string(258, 'x'));
}

TEST(Pipe, HeaderAndBodyAreWrittenTogether) {
  auto [a, b] = make_socket_pair(SOCK_SEQPACKET);  // keeps apart what was written apart
  Connection sender(std::move(a));
  for (const std::size_t size : {0, 1, 16384, 60000}) {
    sender.send_bytes(std::string(size, 'x'));
    std::string packet(1 << 17, '\0');
    EXPECT_EQ(::recv(b.get(), packet.data(), packet.size(), 0), 4 + size);
  }
}

TEST(Pipe, LengthsAreSentIn4BytesUpTo31BitsAndIn12Beyond) {
  const std::size_t most = std::size_t{1} << 31;
  // Addresses without memory: the reader goes before the kernel has looked at more than the first pages.
  void* const zeros = ::mmap(nullptr, most, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(zeros, MAP_FAILED);
  for (const auto& [length, header] : {std::pair(most - 1, "\x7f\xff\xff\xff\0\0\0\0\0\0\0\0"s),
                                       std::pair(most, "\xff\xff\xff\xff\0\0\0\0\x80\0\0\0"s)}) {
    auto [receiver, sender] = one_way();
    std::jthread other([&, &end = sender] {
      EXPECT_THROW(end.send_bytes({static_cast<const char*>(zeros), length}), std::system_error);
    });
    std::string raw(12, 'x');
    read_full(receiver.fileno(), std::as_writable_bytes(std::span(raw)));
    EXPECT_EQ(raw, header);
    receiver.close();
  }
  ::munmap(zeros, most);
}

TEST(Pipe, ALengthBeyond31BitsIsMinusOneAndEightBytes) {
  auto [a, b] = duplex();
  write_raw(a, "\xff\xff\xff\xff\0\0\0\0\0\0\0\5hello"s);
  EXPECT_EQ(b.recv_bytes(), "hello");
  write_raw(a, "\xff\xff\xff\xff\0\0\0\1\0\0\0\0"s);
  EXPECT_NE(sentence_of<MessageError>([&, &end = b] { end.recv_bytes(); }).find("4294967296"), std::string::npos);
}

TEST(Pipe, LengthsNobodySendsAreRefused) {
  for (const auto& header : {"\x80\0\0\0"s, "\xff\xff\xff\xfe"s, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s}) {
    auto [receiver, sender] = one_way();
    write_raw(sender, header + "body");
    EXPECT_THROW(receiver.recv_bytes(), MessageError);
    EXPECT_THROW(receiver.recv_bytes(SIZE_MAX), NotOpen);
  }
}

TEST(Pipe, SixteenMebibytesComeThroughWhole) {
  for (auto make : {one_way, duplex}) {
    auto [receiver, sender] = make();
    std::string message(16 << 20, '\0');
    for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<char>(i * 2654435761u >> 24);
    std::jthread other([&message, &end = sender] { end.send_bytes(message); });
    EXPECT_TRUE(receiver.recv_bytes() == message);
  }
}

TEST(Pipe, EndOfFileBetweenMessagesComesAfterTheLastOne) {
  auto [receiver, sender] = one_way();
  sender.send_bytes("last");
  sender.close();
  EXPECT_TRUE(receiver.poll());
  EXPECT_EQ(receiver.recv_bytes(), "last");
  EXPECT_TRUE(receiver.poll()) << "end-of-file is something to find";
  EXPECT_THROW(receiver.recv_bytes(), EndOfFile);
  EXPECT_THROW(receiver.recv_bytes(), EndOfFile) << "again and again";
}

TEST(Pipe, EndOfFileInsideAMessageIsAnError) {
  for (const auto& cut : {"\0\0"s, "\0\0\0\5hel"s, "\0\0\0\5"s, "\xff\xff\xff\xff\0\0\0"s}) {
    auto [receiver, sender] = one_way();
    write_raw(sender, cut);
    sender.close();
    EXPECT_EQ(sentence_of<MessageError>([&end = receiver] { end.recv_bytes(); }), "got end of file during a message");
  }
}

TEST(Pipe, BeyondTheMaximumADuplexEndBecomesWriteOnly) {
  auto [a, b] = duplex();
  a.send_bytes("four");
  EXPECT_EQ(b.recv_bytes(4), "four") << "just the maximum is not beyond it";
  a.send_bytes("fives");
  EXPECT_THROW(b.recv_bytes(4), MessageError);
  EXPECT_FALSE(b.readable());
  EXPECT_THROW(b.recv_bytes(), NotOpen);
  b.send_bytes("still");
  EXPECT_EQ(a.recv_bytes(), "still");
}

TEST(Pipe, BeyondTheMaximumAOneWayEndIsClosed) {
  auto [receiver, sender] = one_way();
  sender.send_bytes("fives");
  EXPECT_THROW(receiver.recv_bytes(4), MessageError);
  EXPECT_TRUE(receiver.closed());
  try {
    sender.send_bytes("nobody reads this");
    ADD_FAILURE() << "the reader has gone";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EPIPE);
  }
}

TEST(Pipe, ATooSmallBufferGetsTheWholeMessageByItsError) {
  auto [receiver, sender] = one_way();
  std::array<std::byte, 8> buffer{};
  sender.send_bytes("0123456789");
  try {
    receiver.recv_bytes_into(buffer);
    ADD_FAILURE() << "it does not fit";
  } catch (const BufferTooShort& error) {
    EXPECT_EQ(error.message, "0123456789");
  }
  sender.send_bytes("next");
  EXPECT_EQ(receiver.recv_bytes_into(buffer, 4), 4u) << "the connection can still be used";
  EXPECT_EQ(std::memcmp(buffer.data() + 4, "next", 4), 0);
  sender.send_bytes("next");
  EXPECT_THROW(receiver.recv_bytes_into(buffer, 5), BufferTooShort);
  EXPECT_THROW(receiver.recv_bytes_into(buffer, 9), std::invalid_argument);
  sender.send_bytes("");
  EXPECT_EQ(receiver.recv_bytes_into(buffer, 8), 0u);
}

TEST(Pipe, PollWaitsForTheFirstByteOrTheTimeout) {
  auto [receiver, sender] = one_way();
  EXPECT_FALSE(receiver.poll());
  const auto begin = Clock::now();
  EXPECT_FALSE(receiver.poll(milliseconds(30)));
  EXPECT_GE(Clock::now() - begin, milliseconds(30));
  EXPECT_FALSE(receiver.poll(milliseconds(-5))) << "no time at all";
  std::jthread later([&end = sender] {
    std::this_thread::sleep_for(milliseconds(20));
    end.send_bytes("");
  });
  EXPECT_TRUE(receiver.poll(seconds(30)));
  EXPECT_EQ(receiver.recv_bytes(), "");
}

TEST(Pipe, AClosedEndSaysSo) {
  auto [receiver, sender] = one_way();
  receiver.close();
  receiver.close();
  EXPECT_THROW(receiver.recv_bytes(), NotOpen);
  EXPECT_THROW(receiver.poll(), NotOpen);
  EXPECT_THROW(receiver.fileno(), NotOpen);
  sender.close();
  EXPECT_THROW(sender.send_bytes("x"), NotOpen);
  EXPECT_THROW(Connection(Descriptor(::dup(0)), false, false), std::invalid_argument);
}

TEST(Pipe, AMovedEndIsClosed) {
  auto [receiver, sender] = one_way();
  Connection other = std::move(sender);
  EXPECT_TRUE(sender.closed());  // NOLINT: that is the question
  other.send_bytes("x");
  EXPECT_EQ(receiver.recv_bytes(), "x");
}

TEST(Pipe, ValuesGoThroughTheCodec) {
  using Table = std::map<std::string, std::vector<double>>;
  auto [a, b] = duplex();
  const Table table{{"pi", {3, 3.1, 3.14}}, {"none", {}}};
  a.send(table);
  a.send(42);
  a.send("text"s);
  EXPECT_EQ(b.recv<Table>(), table);
  EXPECT_THROW(b.recv<std::string>(), MessageError) << "42 is no text";
  EXPECT_EQ(b.recv<std::string>(), "text") << "the message that could not be read was taken";
}

TEST(Pipe, AKilledWriterIsEndOfFileOrAnErrorNeverAMessage) {
  for (const bool inside : {false, true}) {
    auto [receiver, sender] = one_way();
    const pid_t pid = fork_child();
    if (pid == 0) {
      leave([&, &end = sender] {
        end.send_bytes("whole");
        if (inside) write_raw(end, "\0\0\0\7cut"s);
        ::raise(SIGKILL);
      });
    }
    sender.close();
    EXPECT_EQ(receiver.recv_bytes(), "whole");
    if (inside) {
      EXPECT_THROW(receiver.recv_bytes(), MessageError);
    } else {
      EXPECT_THROW(receiver.recv_bytes(), EndOfFile);
    }
    ::waitpid(pid, nullptr, 0);
  }
}

TEST(Pipe, AReaderKilledInsideAMessageIsABrokenPipe) {
  for (const bool both_ways : {false, true}) {
    auto [receiver, sender] = both_ways ? duplex() : one_way();
    const pid_t pid = start_child([&, &end = receiver, &other = sender] {
      other.close();
      std::array<std::byte, 1000> first;
      read_full(end.fileno(), first);
      ::raise(SIGKILL);
    });
    receiver.close();
    try {
      sender.send_bytes(std::string(4 << 20, 'm'));
      ADD_FAILURE() << "nobody can have taken it";
    } catch (const std::system_error& error) {
      EXPECT_TRUE(error.code() == std::errc::broken_pipe || error.code() == std::errc::connection_reset)
          << error.what();
    }
    EXPECT_EQ(end_of(pid), "signal 9 (Killed)");
  }
}

TEST(Pipe, APeerThatLeavesMessagesUnreadResetsADuplexEnd) {
  auto [ours, theirs] = duplex();
  ours.send_bytes("unread");
  theirs.send_bytes("last");
  theirs.close();
  EXPECT_EQ(ours.recv_bytes(), "last");
  try {
    ours.recv_bytes();
    ADD_FAILURE() << "no message is left";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::connection_reset);
  }
}

TEST(Pipe, EndsAreClosedOnExec) {
  auto [receiver, sender] = one_way();
  auto [a, b] = duplex();
  for (const int fd : {receiver.fileno(), sender.fileno(), a.fileno(), b.fileno()})
    EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

// System calls end with EINTR, as when a page meets a full pipe, or with what they have done so far.
TEST(Pipe, SignalsDoNotCutMessages) {
  const SignalRain rain;
  for (const std::size_t length : {4092, 1 << 20}) {
    auto [receiver, sender] = one_way();
    const std::string message(length, 'm');
    const pid_t pid = start_child([&, &end = sender] {
      const SignalRain own;
      for (int i = 0; i < 30; ++i) end.send_bytes(message);
    });
    sender.close();
    std::this_thread::sleep_for(milliseconds(20));  // rain on a sender that waits
    int whole = 0;
    for (int i = 0; i < 30; ++i) whole += receiver.poll(seconds(30)) && receiver.recv_bytes() == message;
    EXPECT_EQ(whole, 30) << length;
    EXPECT_THROW(receiver.recv_bytes(), EndOfFile);
    EXPECT_EQ(end_of(pid), "status 0");
  }
}

}  // namespace
}  // namespace lab::pipe
