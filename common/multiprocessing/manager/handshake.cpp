#include "common/multiprocessing/manager/handshake.hpp"

#include <sodium.h>

#include <array>
#include <system_error>

#include "common/os/message.hpp"

namespace lab::manager {
namespace {

constexpr std::string_view kChallenge = "#CHALLENGE#", kWelcome = "#WELCOME#", kFailure = "#FAILURE#",
                           kRefused = "#REFUSED#";
constexpr std::size_t kRandom = 32, kDigest = crypto_auth_hmacsha256_BYTES;
constexpr std::size_t kLimit = 256;  // bytes of a message: whoever sends it is a stranger yet

void need_sodium() {
  static const bool ready = ::sodium_init() >= 0;
  if (!ready) throw std::runtime_error("libsodium finds no source of random bytes");
}

std::string random_bytes(std::size_t count) {
  need_sodium();
  std::string bytes(count, '\0');
  ::randombytes_buf(bytes.data(), bytes.size());
  return bytes;
}

// By a key of any length: its hash is one of the length wanted. (HMAC itself takes "k" and "k\0" for the same.)
std::string digest(const std::string& key, std::string_view role, std::string_view servers, std::string_view clients) {
  const auto raw = [](const std::string& text) { return reinterpret_cast<const unsigned char*>(text.data()); };
  std::array<unsigned char, crypto_hash_sha256_BYTES> hashed;
  static_assert(hashed.size() == crypto_auth_hmacsha256_KEYBYTES);
  ::crypto_hash_sha256(hashed.data(), raw(key), key.size());
  const std::string said = std::string(role).append(servers).append(clients);
  std::string made(kDigest, '\0');
  ::crypto_auth_hmacsha256(reinterpret_cast<unsigned char*>(made.data()), raw(said), said.size(), hashed.data());
  return made;
}

// Takes as long for any two: how much of a wrong one is right is nobody's to know.
bool equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

// For whoever is let go anyway: waits for nobody, and does not mind that it is gone already.
void tell(int socket, std::string_view prefix, const std::string& sentence) noexcept try {
  send_message(socket, std::string(prefix).append(sentence, 0, kLimit - prefix.size()), Clock::now());
} catch (const std::exception&) {
}

std::string receive(int socket, Deadline deadline) {
  auto message = receive_message(socket, kLimit, deadline);
  if (!message) throw AuthenticationError("the other side hung up before it had shown that it has the key");
  return std::move(*message);
}

std::string after(std::string_view prefix, std::string_view message) {
  return std::string(message.substr(prefix.size()));
}

}  // namespace

std::string random_key() { return random_bytes(32); }

const std::string& checked(const std::string& key) {
  if (key.empty()) throw std::invalid_argument("a manager's key may not be empty: anybody has that one");
  return key;
}

void admit_client(int socket, const std::string& key, Deadline deadline) {
  const std::string ours = random_bytes(kRandom);
  send_message(socket, std::string(kChallenge) + ours, deadline);
  const std::string answer = receive(socket, deadline);
  const std::string theirs = answer.substr(0, kRandom);
  if (answer.size() != kRandom + kDigest ||
      !equal(answer.substr(kRandom), digest(checked(key), "client", ours, theirs))) {
    tell(socket, kFailure, "the digest is not that of the manager's key");
    throw AuthenticationError("a client's digest is not that of the key");
  }
  send_message(socket, std::string(kWelcome) + digest(key, "server", ours, theirs), deadline);
}

void introduce_to_server(int socket, const std::string& key, Deadline deadline) {
  const std::string challenge = receive(socket, deadline);
  if (challenge.starts_with(kRefused))
    throw AuthenticationError("the manager refused the connection: " + after(kRefused, challenge));
  if (!challenge.starts_with(kChallenge) || challenge.size() != kChallenge.size() + kRandom)
    throw AuthenticationError("what listens there is no manager: it sent no challenge");
  const std::string theirs = after(kChallenge, challenge), ours = random_bytes(kRandom);
  send_message(socket, ours + digest(checked(key), "client", theirs, ours), deadline);
  const std::string answer = receive(socket, deadline);
  if (answer.starts_with(kFailure))
    throw AuthenticationError("the manager refused the key: " + after(kFailure, answer));
  if (!answer.starts_with(kWelcome) || !equal(after(kWelcome, answer), digest(key, "server", theirs, ours)))
    throw AuthenticationError("what listens there does not have the manager's key");
}

void refuse_client(int socket, const std::string& sentence) noexcept { tell(socket, kRefused, sentence); }

}  // namespace lab::manager
