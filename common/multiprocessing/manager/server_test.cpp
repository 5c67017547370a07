// A server against clients that are silent, slow, without the key, or too many: nobody else is delayed or harmed.
#include "common/multiprocessing/manager/server.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <thread>

#include "common/multiprocessing/manager/handshake.hpp"
#include "common/multiprocessing/manager/manager.hpp"
#include "common/os/message.hpp"
#include "common/os/test_child.hpp"
#include "common/os/test_faults.hpp"

namespace lab::manager {
namespace {

using namespace std::chrono_literals;

// A manager, and somebody who uses it meanwhile.
struct BesideOthers : testing::Test {
  ~BesideOthers() override { right(); }
  void right() {  // one after another, fifty silent ones would outlast its patience
    EXPECT_EQ(Client::of(manager.path(), manager.key())->create(Type::value).index(), Object(Token{}).index());
    EXPECT_EQ(value.get(), Object("mine"));
  }
  Descriptor stranger() const { return connect_to(manager.path()); }
  Manager manager;
  const Value value = manager.make<Value>("mine");
};

std::string hear(const Descriptor& socket, std::size_t limit = kRequestLimit) {
  return receive_message(socket.get(), limit, soon()).value_or("end of file");
}

TEST_F(BesideOthers, SilentOnes) {
  std::vector<Descriptor> silent(50);
  for (Descriptor& socket : silent) socket = stranger();
  right();
  EXPECT_TRUE(hear(silent[0]).starts_with("#CHALLENGE#"));
  EXPECT_EQ(hear(silent[0]), "end of file");
}

TEST_F(BesideOthers, SlowOnes) {
  const Descriptor slow = stranger();
  const std::byte first{64};
  for (int i = 0; i < 3; ++i) {
    write_all(slow.get(), {&first, 1});  // of a length
    right();
  }
}

TEST_F(BesideOthers, OnesThatBabble) {
  for (const std::string& babble :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(100'000, '\xff'), std::string(5, '\0')}) {
    const Descriptor socket = stranger();
    try {
      write_all(socket.get(), std::as_bytes(std::span(babble)));
    } catch (const std::system_error&) {  // it has hung up meanwhile
    }
    right();
  }
}

TEST_F(BesideOthers, OnesWithAnotherKeyOrNone) {
  for (int i = 0; i < 20; ++i)
    EXPECT_THROW(Client::of(manager.path(), "another")->number_of_objects(), AuthenticationError);
  const Descriptor socket = stranger();
  EXPECT_TRUE(hear(socket).starts_with("#CHALLENGE#"));
  send_message(socket.get(), encode(Hello{.process = 1, .held = {}}), soon());  // as if it had been welcomed
  EXPECT_TRUE(hear(socket).starts_with("#FAILURE#"));
  EXPECT_EQ(hear(socket), "end of file");
}

// With the key, but with no good intentions.
TEST_F(BesideOthers, GuestsWhoSayWhatIsNoRequest) {
  const auto guest = [&] {
    Descriptor socket = stranger();
    introduce_to_server(socket.get(), manager.key(), soon());
    send_message(socket.get(), encode(Hello{.process = 9, .held = {{1, 3}, {77, 1}}}), soon());
    return socket;
  };
  const auto sentence = [](const Descriptor& socket) { return decode<Reply>(hear(socket)).sentence; };
  for (const std::string& words :
       {std::string("nonsense"), std::string(), encode(Request{}).substr(1), encode(Request{}, 1)}) {
    const Descriptor socket = guest();
    send_message(socket.get(), words, soon());
    EXPECT_NE(sentence(socket), "");
    EXPECT_EQ(hear(socket), "end of file");
  }
  {
    const Descriptor socket = guest();
    const std::uint32_t length = 0xffffffff;
    write_all(socket.get(), std::as_bytes(std::span(&length, 1)));
    EXPECT_EQ(sentence(socket), "message of 4294967295 bytes is beyond the limit of 16777216");
  }
  {  // a claim of 16 MiB, of which nothing comes; and one who takes no replies
    const Descriptor socket = guest(), deaf = guest();
    const std::uint32_t length = kRequestLimit;
    write_all(socket.get(), std::as_bytes(std::span(&length, 1)));
    value.set(std::string(1 << 20, 'x'));
    const std::string get =
        encode(Request{.object = value.id(), .method = Method::get, .arguments = {}, .released = {}});
    for (int i = 0; i < 20; ++i) send_message(deaf.get(), get, soon());
    value.set("mine");
    right();
  }
  {  // releases what it never held, more often than there is
    const Descriptor socket = guest();
    send_message(socket.get(),
                 encode(Request{.method = Method::number_of_objects,
                                .arguments = {},
                                .released = std::vector<std::uint64_t>(1000, value.id())}),
                 soon());
    EXPECT_EQ(decode<Reply>(hear(socket)).error, ErrorType::none);
  }
}

TEST(Limits, OneConnectionTooManyIsRefusedWithASentence) {
  static Server server("key", 3);  // its threads may still be in their last steps when the test ends
  const SocketFolder folder;
  const Descriptor listener = folder.listen();
  auto [owner, end] = make_pipe();
  {
    std::jthread serves([&, &watched = owner] { server.serve(listener, watched); });
    std::vector<Descriptor> guests(3);
    for (Descriptor& guest : guests) {
      guest = connect_to(folder.path());
      introduce_to_server(guest.get(), "key", soon());
      send_message(guest.get(), encode(Hello{.process = 1, .held = {}}), soon());
      send_message(guest.get(), encode(Request{.method = Method::number_of_objects, .arguments = {}, .released = {}}),
                   soon());
      EXPECT_EQ(decode<Reply>(hear(guest)).error, ErrorType::none);
    }
    try {
      Client::of(folder.path(), "key")->number_of_objects();
      ADD_FAILURE() << "a fourth was served";
    } catch (const AuthenticationError& error) {
      EXPECT_STREQ(error.what(), "the manager refused the connection: it serves 3 connections, and that is all it can");
    }
    guests.pop_back();
    const Deadline limit = soon();
    const auto wait_for_room = [&] {  // a connection that was closed counts until its thread has heard of it
      while (server.connections() > 2 && Clock::now() < limit) std::this_thread::yield();
    };
    wait_for_room();
    EXPECT_EQ(Client::of(folder.path(), "key")->number_of_objects(), 0);
    wait_for_room();
    // Strangers have room of their own; the longest silent one makes way for the next.
    std::vector<Descriptor> strangers(4);
    for (Descriptor& stranger : strangers) {
      stranger = connect_to(folder.path());
      EXPECT_TRUE(hear(stranger).starts_with("#CHALLENGE#"));
    }
    const auto begin = Clock::now();
    EXPECT_EQ(hear(strangers[0]), "end of file");
    EXPECT_LT(Clock::now() - begin, 4s) << "it was left to its deadline";
    guests.clear();
    strangers.clear();
    while ((server.connections() > 0 || server.strangers() > 0) && Clock::now() < limit) std::this_thread::yield();
    end.reset();
  }
  EXPECT_EQ(server.connections() + server.strangers(), 0u);
}

TEST(Limits, AThousandConnectionsAreServedAndTheNextIsRefused) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_max < 2200) GTEST_SKIP() << "this machine allows a process " << files.rlim_max << " descriptors";
  files.rlim_cur = std::max<rlim_t>(files.rlim_cur, 2200);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  Manager manager;
  const Value value = manager.make<Value>(0);
  std::vector<Descriptor> guests(kMostConnections - 1);  // and the maker's own
  for (Descriptor& guest : guests) {
    guest = connect_to(manager.path());
    introduce_to_server(guest.get(), manager.key(), soon());
    send_message(guest.get(), encode(Hello{.process = 5, .held = {}}), soon());
  }
  const std::string get = encode(Request{.object = value.id(), .method = Method::get, .arguments = {}, .released = {}});
  for (const Descriptor& guest : guests) send_message(guest.get(), get, soon());
  for (const Descriptor& guest : guests) ASSERT_EQ(decode<Reply>(hear(guest)).error, ErrorType::none);
  EXPECT_THROW(Client::of(manager.path(), manager.key())->number_of_objects(), AuthenticationError);
  EXPECT_EQ(value.get(), Object(0));
}

TEST(Limits, AServerWithoutDescriptorsSaysSo) {
  const SocketFolder folder;
  const Descriptor listener = folder.listen();
  auto [reader, writer] = make_pipe();
  const pid_t child = start_child([&, &end = writer, &owner = reader] {
    end.reset();
    auto& server = *new Server("key");
    run_out_of_descriptors(2);
    server.serve(listener, owner);
  });
  std::vector<std::shared_ptr<Client>> clients;
  std::string said;
  for (int i = 0; i < 4 && said.empty(); ++i) {
    clients.push_back(Client::of(folder.path(), "key"));
    try {
      clients.back()->number_of_objects();
    } catch (const AuthenticationError& error) {
      said = error.what();
    }
  }
  EXPECT_EQ(said, "the manager refused the connection: the server has no descriptor left");
  EXPECT_EQ(clients[0]->number_of_objects(), 0) << "those that were served are served no more";
  writer.reset();
  EXPECT_EQ(end_of(child), "status 0");
}

TEST(Limits, AServerThatCanStartNoThreadSaysSo) {
  const SocketFolder folder;
  const Descriptor listener = folder.listen();
  auto [reader, writer] = make_pipe();
  const pid_t child = start_child([&, &end = writer, &owner = reader] {
    end.reset();
    auto& server = *new Server("key");
    refuse({SYS_clone, SYS_clone3}, EAGAIN);
    server.serve(listener, owner);
  });
  for (int i = 0; i < 3; ++i) {
    try {
      Client::of(folder.path(), "key")->number_of_objects();
      ADD_FAILURE() << "it was served without a thread";
    } catch (const AuthenticationError& error) {
      EXPECT_STREQ(error.what(), "the manager refused the connection: the server can start no thread for it");
    }
  }
  writer.reset();
  EXPECT_EQ(end_of(child), "status 0");
}

}  // namespace
}  // namespace lab::manager
