#include "common/multiprocessing/manager/handshake.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <future>
#include <system_error>

#include "common/os/message.hpp"
#include "common/os/test_child.hpp"

namespace lab::manager {
namespace {

const std::string kKey = "a key of any length";

// What became of one side's part: "" or its sentence.
std::string outcome(const std::function<void()>& part) {
  try {
    part();
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

// The client's and the server's outcome of one handshake.
using Outcomes = std::pair<std::string, std::string>;
const Outcomes kBothIn;
Outcomes shake(const std::string& clients, const std::string& servers) {
  auto [client, server] = make_socket_pair(SOCK_STREAM);
  auto admitted = std::async(std::launch::async, [&, &mine = server] {
    std::string said = outcome([&] { admit_client(mine.get(), servers, soon()); });
    mine.reset();
    return said;
  });
  std::string introduced = outcome([&, &mine = client] { introduce_to_server(mine.get(), clients, soon()); });
  client.reset();
  return {introduced, admitted.get()};
}

TEST(Handshake, TheSameKeyIsEnough) {
  EXPECT_EQ(shake(kKey, kKey), kBothIn);
  const std::string random = random_key();
  EXPECT_EQ(random.size(), 32u);
  EXPECT_NE(random, random_key());
  EXPECT_EQ(shake(random, random), kBothIn);
}

TEST(Handshake, AnotherKeyIsRefusedAtBothEnds) {
  for (const std::string& wrong : {std::string("x"), kKey + "x", kKey.substr(1), kKey + '\0', std::string(1000, 'k')}) {
    const auto [client, server] = shake(wrong, kKey);
    EXPECT_EQ(client, "the manager refused the key: the digest is not that of the manager's key");
    EXPECT_EQ(server, "a client's digest is not that of the key");
  }
}

TEST(Handshake, AnEmptyKeyIsNone) {
  EXPECT_THROW(checked(""), std::invalid_argument);
  const auto [client, server] = shake("", kKey);
  EXPECT_NE(client, "");
  EXPECT_NE(server, "");
  EXPECT_NE(shake("", ""), kBothIn) << "two sides without a key have let each other in";
}

// A stranger with one end of a socket, against the part of whoever has the other and the key.
struct Stranger : testing::Test {
  std::string hear() { return receive_message(socket, 256, soon()).value_or("end of file"); }
  void say(const std::string& message) { send_message(socket, message, soon()); }
  // The part of a server, or of a client, that has the key, beside `stranger`.
  template <class Part>
  std::string against(Part part, const std::function<void()>& stranger) {
    auto [own, other] = make_socket_pair(SOCK_STREAM);
    socket = own.get();
    auto done = std::async(std::launch::async, [&, &mine = other] {
      std::string said = outcome([&] { part(mine.get(), kKey, Clock::now() + std::chrono::seconds(20)); });
      mine.reset();
      return said;
    });
    stranger();
    own.reset();
    return done.get();
  }
  int socket = -1;
};

TEST_F(Stranger, AReplayedAnswerIsWorthNothing) {
  std::string recorded;  // what a client with the key has said
  EXPECT_NE(against(introduce_to_server,
                    [&] {
                      say("#CHALLENGE#" + std::string(32, 'c'));
                      recorded = hear();
                    }),
            "");
  ASSERT_EQ(recorded.size(), 64u);
  EXPECT_EQ(against(admit_client,
                    [&] {
                      EXPECT_TRUE(hear().starts_with("#CHALLENGE#"));
                      say(recorded);
                      EXPECT_TRUE(hear().starts_with("#FAILURE#"));
                    }),
            "a client's digest is not that of the key");
}

TEST_F(Stranger, AReflectedAnswerIsWorthNothing) {
  // It has no key, and gives back what it gets: the client's own digest as the server's.
  EXPECT_EQ(against(introduce_to_server,
                    [&] {
                      say("#CHALLENGE#" + std::string(32, 'c'));
                      say("#WELCOME#" + hear().substr(32));
                    }),
            "what listens there does not have the manager's key");
  // The server's own challenge as the client's random bytes, and as its digest.
  EXPECT_EQ(against(admit_client,
                    [&] {
                      const std::string random = hear().substr(11);
                      say(random + random);
                    }),
            "a client's digest is not that of the key");
  // A second connection to the same server in the part of the first one's client, as the answer to its challenge.
  EXPECT_EQ(against(admit_client,
                    [&] {
                      const int first = socket;
                      const std::string challenge = hear();
                      EXPECT_NE(against(admit_client,
                                        [&] {
                                          const std::string second = hear();
                                          say(challenge.substr(11) + second.substr(11));
                                          hear();
                                        }),
                                "");
                      socket = first;
                      say(challenge.substr(11) + std::string(32, '\0'));
                    }),
            "a client's digest is not that of the key");
}

TEST_F(Stranger, BabbleIsRefused) {
  for (const std::string& babble :
       {std::string(), std::string("GET / HTTP/1.1\r\n\r\n"), std::string(64, 'x'), std::string(256, 'y')}) {
    EXPECT_EQ(against(admit_client,
                      [&] {
                        hear();
                        say(babble);
                        EXPECT_TRUE(hear().starts_with("#FAILURE#"));
                      }),
              "a client's digest is not that of the key");
    EXPECT_EQ(against(introduce_to_server, [&] { say(babble); }),
              "what listens there is no manager: it sent no challenge");
  }
  EXPECT_NE(against(admit_client, [&] { hear(), say(std::string(300, 'z')); }).find("beyond the limit of 256"),
            std::string::npos);
  EXPECT_NE(against(admit_client, [&] { hear(); }), "");
}

TEST_F(Stranger, SilenceEndsAtTheDeadline) {
  const auto in_no_time = [](auto part) {
    return [part](int mine, const std::string& key, Deadline) {
      part(mine, key, Clock::now() + std::chrono::milliseconds(20));
    };
  };
  const auto listen = [&] {  // to its first message, if it is a server's; then that it has hung up
    while (hear() != "end of file") continue;
  };
  EXPECT_NE(against(in_no_time(admit_client), listen).find("timed out"), std::string::npos);
  EXPECT_NE(against(in_no_time(introduce_to_server), listen).find("timed out"), std::string::npos);
}

TEST_F(Stranger, IsToldWhyItIsRefused) {
  EXPECT_EQ(against(introduce_to_server, [&] { refuse_client(socket, "there is no room"); }),
            "the manager refused the connection: there is no room");
}

}  // namespace
}  // namespace lab::manager
