#include "redis.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <limits>

#include "common/os/test_faults.hpp"
#include "test_servers.hpp"

namespace lab::redis {
namespace {

struct Client : testing::Test {
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }  // as in a lab
};

constexpr std::chrono::milliseconds kImpatient{300};

/// What a GET throws where a server gives this answer; and it must say so within 5 s.
std::string get_from(std::vector<std::string> answers, Then then = Then::is_silent,
                     std::chrono::milliseconds patience = std::chrono::seconds(4)) {
  const FakeServer fake(std::move(answers), then);
  const Deadline deadline = Clock::now() + std::chrono::seconds(5);
  const std::string sentence = sentence_of([&] { Connection(fake.address(), patience).text({"GET", "key"}); });
  EXPECT_LT(Clock::now(), deadline) << sentence;
  return sentence;
}

TEST_F(Client, AddressesAreReadAndNamed) {
  EXPECT_EQ(parse_address("localhost:6379").name(), "localhost:6379");
  EXPECT_EQ(parse_address("[::1]:6379").host, "::1");
  EXPECT_EQ(parse_address("[::1]:6379").name(), "[::1]:6379");
  EXPECT_EQ(parse_address("/run/redis.sock").path, "/run/redis.sock");
  EXPECT_EQ(parse_address("./redis.sock").path, "./redis.sock");
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv, "localhost"sv, ":6379"sv, "host:"sv, "host:0"sv, "host:65536"sv, "host:x"sv,
                                      "host:1x"sv, "host:-1"sv, "/run\0/x"sv})
    EXPECT_THROW(parse_address(text), std::invalid_argument) << text;
}

TEST_F(Client, AnswersHaveTheirTypes) {
  const FakeServer fake({"+OK\r\n", ":-9223372036854775808\r\n", bulk({'a', '\0', 'b'}), "$-1\r\n",
                         "*3\r\n:1\r\n*1\r\n$1\r\nx\r\n$-1\r\n", "$0\r\n\r\n"});
  Connection connection(fake.address());
  connection.ok({"SET", "key", "1"});
  EXPECT_EQ(connection.integer({"INCR", "key"}), std::numeric_limits<std::int64_t>::min());
  const Reply text = connection.command({"GET", "key"});
  EXPECT_EQ(text.text, std::string({'a', '\0', 'b'}));
  EXPECT_FALSE(connection.text({"GET", "key"}));
  const Reply list = connection.command({"LIST"});
  ASSERT_EQ(list.list.size(), 3u);
  EXPECT_EQ(list.list[0].integer, 1);
  ASSERT_EQ(list.list[1].list.size(), 1u);
  EXPECT_EQ(list.list[1].list[0].text, "x");
  EXPECT_EQ(list.list[2].type, Reply::Type::nil);
  EXPECT_EQ(connection.text({"GET", "key"}), "");
}

TEST_F(Client, AnAnswerOfAnotherTypeIsRefused) {
  EXPECT_TRUE(says(get_from({":1\r\n"}), "GET with something else than text"));
  EXPECT_TRUE(says(get_from({"*1\r\n$1\r\n1\r\n"}), "something else than text"));
  const FakeServer fake({"$1\r\n1\r\n", "+QUEUED\r\n"});
  Connection connection(fake.address());
  EXPECT_TRUE(says(sentence_of([&] { connection.integer({"INCR", "key"}); }), "something else than a number"));
  EXPECT_TRUE(says(sentence_of([&] { connection.ok({"SET", "key", "1"}); }), "something else than OK"));
}

TEST_F(Client, AnErrorIsASentenceFitToBePrinted) {
  const std::string sentence = get_from({"-ERR \x1b[2J" + std::string(1000, 'x') + "\r\n"});
  EXPECT_TRUE(says(sentence, "refuses GET: ERR ?[2Jxxx"));
  EXPECT_LT(sentence.size(), 300u);
}

TEST_F(Client, WhatIsNoAnswerIsRefused) {
  for (const char* bytes : {"hello\r\n", "$x\r\n", ":1x\r\n", "*-7\r\n", "$99999999999999999999\r\n"})
    EXPECT_TRUE(says(get_from({bytes}), "what is no answer")) << bytes;
  std::string nested;
  for (int depth = 0; depth < 8; ++depth) nested += "*1\r\n";
  EXPECT_TRUE(says(get_from({nested + ":1\r\n"}), "what is no answer"));
  EXPECT_TRUE(says(get_from({nested.substr(4) + ":1\r\n"}), "something else than text"));
}

TEST_F(Client, AnAnswerIsBoundedBeforeItIsStored) {
  EXPECT_TRUE(says(get_from({"*65\r\n"}), "what is no answer"));
  EXPECT_TRUE(says(get_from({"*2147483647\r\n"}), "what is no answer"));
  EXPECT_TRUE(says(get_from({"$1000000000\r\n"}, Then::repeats_it), "more than 65536 bytes"));
  EXPECT_TRUE(says(get_from({"$1000000000\r\n" + std::string(100'000, 'x')}), "more than 65536 bytes"));
  std::string lists = "*64\r\n";  // each list is short, all of them are not
  for (int i = 0; i < 63; ++i) lists += "*1\r\n" + bulk(std::string(2000, 'x'));
  EXPECT_TRUE(says(get_from({lists}), "more than 65536 bytes"));
}

TEST_F(Client, TypesOfTheNewerProtocolAreNoText) {
  for (const char* answer :
       {",3.14\r\n", "#t\r\n", "%1\r\n+a\r\n+b\r\n", "~1\r\n+a\r\n", ">1\r\n+a\r\n", "(123\r\n", "_\r\n"}) {
    const FakeServer fake({answer, "+end\r\n"});
    const std::string sentence = sentence_of([&] {
      Connection connection(fake.address());
      connection.integer({"INCR", "key"});
    });
    EXPECT_NE(sentence, "") << answer;
  }
}

TEST_F(Client, AServerThatEndsInMidAnswerIsASentence) {
  for (const char* piece : {"$10\r\nabc", "*2\r\n:1\r\n", "+O"})
    EXPECT_TRUE(says(get_from({piece}, Then::closes), "has closed the connection")) << piece;
}

TEST_F(Client, AnAnswerThatTricklesInIsTooLate) {
  EXPECT_TRUE(says(get_from({"$60000\r\n"}, Then::trickles_it, kImpatient), "has not answered within 0.3 s"));
}

TEST_F(Client, AServerThatNeverAnswersIsASentenceWithin5Seconds) {
  EXPECT_TRUE(says(get_from({}), "has not answered within 4 s"));
  const FakeServer fake({});
  Address with_password = fake.address();
  with_password.password = "secret";
  EXPECT_TRUE(says(sentence_of([&] { Connection(with_password, kImpatient); }), "has not answered within 0.3 s"));
}

TEST_F(Client, SignalsDoNotDisturb) {
  const SignalRain rain;
  EXPECT_TRUE(says(get_from({}, Then::is_silent, kImpatient), "has not answered within 0.3 s"));
}

TEST_F(Client, NobodyThereIsASentence) {
  EXPECT_TRUE(says(sentence_of([] { Connection({.path = "/nonexistent/redis.sock"}); }),
                   "cannot reach Redis at /nonexistent/redis.sock"));
  EXPECT_TRUE(says(sentence_of([] { Connection({.path = "/" + std::string(200, 'x')}); }), "at most 107 bytes"));
  const int port = free_port();
  EXPECT_TRUE(says(sentence_of([&] { Connection({.host = "127.0.0.1", .port = port}); }), "Connection refused"));
}

TEST_F(Client, ARefusedPasswordIsASentenceWithoutThePassword) {
  const FakeServer fake({"-WRONGPASS invalid username-password pair or user is disabled.\r\n"});
  Address address = fake.address();
  address.password = "secret";
  const std::string sentence = sentence_of([&] { Connection{address}; });
  EXPECT_TRUE(says(sentence, "refuses the password: WRONGPASS"));
  EXPECT_FALSE(says(sentence, "secret"));
}

TEST_F(Client, AnOldServerIsNamedSo) {
  const auto version_of = [](const std::string& info) {
    const FakeServer fake({info});
    return sentence_of([&] {
      Connection connection(fake.address());
      check_version(connection);
    });
  };
  EXPECT_TRUE(
      says(version_of(bulk("# Server\r\nredis_version:5.0.14\r\nredis_mode:standalone\r\n")), "is version 5.0.14"));
  EXPECT_TRUE(says(version_of(bulk("redis_version:\x1b[31m" + std::string(500, '9'))), "is version ?[31m99"));
  EXPECT_TRUE(says(version_of(bulk("hello")), "does not say that it is Redis"));
  EXPECT_TRUE(says(version_of("$-1\r\n"), "does not say that it is Redis"));
  EXPECT_EQ(version_of(bulk("redis_version:6.0.0\r\n")), "");
  EXPECT_EQ(version_of(bulk("redis_version:10.2")), "");
}

TEST_F(Client, AConnectionIsRefusedToAnotherProcess) {
  const FakeServer fake({"+OK\r\n"});
  Connection connection(fake.address());
  const pid_t child = start_child([&] {
    const std::string sentence = sentence_of<std::logic_error>([&] { connection.text({"GET", "key"}); });
    if (sentence.find("inherited over fork") == std::string::npos) throw std::runtime_error("it was used");
  });
  EXPECT_EQ(end_of(child), "status 0");
  connection.ok({"SET", "key", "1"});  // and the child has taken nothing of it
}

TEST_F(Client, IsClosedOnExec) {
  const FakeServer fake({"+OK\r\n"});
  const Connection connection(fake.address());
  EXPECT_TRUE(::fcntl(connection.socket(), F_GETFD) & FD_CLOEXEC);
}

}  // namespace
}  // namespace lab::redis
