// Servers that are no Redis, for tests: what a client must expect of an address that somebody has named.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "common/os/children.hpp"
#include "common/os/test_child.hpp"
#include "private_server.hpp"

namespace lab::redis {

/// What a fake server does once it has given its last answer.
enum class Then { is_silent, closes, repeats_it, trickles_it };

/// A process that listens on a Unix socket. To each message of its first client it sends the next of these answers. With no
/// answers it does not even accept. It ends with this object.
class FakeServer {
 public:
  explicit FakeServer(std::vector<std::string> answers, Then then = Then::is_silent)
      : address_{.path = folder_.path() + "/fake.sock"} {
    const Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{.sun_family = AF_UNIX};
    std::strncpy(name.sun_path, address_.path.c_str(), sizeof name.sun_path - 1);
    if (!listener || ::bind(listener.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 ||
        ::listen(listener.get(), 5) != 0)
      throw_errno("cannot listen");
    process_ = ChildProcess(start_child([&] {
      if (answers.empty()) ::pause();
      const Descriptor client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      std::array<char, 4096> message;
      const auto hear = [&] { return ::recv(client.get(), message.data(), message.size(), 0) > 0; };
      const auto say = [&](const std::string& answer) {
        return ::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL) > 0;
      };
      for (const std::string& answer : answers) {
        if (!hear()) return;
        say(answer);
      }
      while (then == Then::repeats_it && say(answers.back())) continue;
      while (then == Then::trickles_it && say("x")) ::poll(nullptr, 0, 100);
      while (then == Then::is_silent && hear()) continue;
    }));
  }
  const Address& address() const { return address_; }

 private:
  PrivateFolder folder_;
  Address address_;
  ChildProcess process_;
};

/// The sentence of what `body` throws; empty when it throws nothing.
template <class Thrown = Error, class Body>
std::string sentence_of(const Body& body) {
  try {
    body();
  } catch (const Thrown& error) {
    return error.what();
  }
  return "";
}

/// Whether a sentence has these words.
inline testing::AssertionResult says(const std::string& sentence, const std::string& words) {
  if (sentence.find(words) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << sentence << "' does not say '" << words << "'";
}

/// A bulk string, as the protocol has it.
inline std::string bulk(const std::string& text) { return fmt::format("${}\r\n{}\r\n", text.size(), text); }

}  // namespace lab::redis
