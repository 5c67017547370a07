// A connection to Redis, over hiredis, its official C library. redis.cpp is the one file that includes it, and that checks
// what comes from a server: whoever listens there is a stranger.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.hpp"

struct redisContext;

namespace lab::redis {

/// What a server did, or what became of the way to it: a sentence that names the server.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Where a server listens.
struct Address {
  std::string path;  ///< of a Unix socket; empty: TCP
  std::string host;
  int port = 0;
  std::string password;      ///< empty: none is sent
  std::string name() const;  ///< without the password, for sentences: "/run/redis.sock", "127.0.0.1:6379"
};
/// Reads "HOST:PORT", "[::1]:PORT" or a PATH, which has a slash. Throws std::invalid_argument.
Address parse_address(std::string_view text);

/// One answer. A status, such as OK, is a text.
struct Reply {
  enum class Type { nil, integer, text, list, error };
  Type type = Type::nil;
  std::int64_t integer = 0;
  std::string text;
  std::vector<Reply> list;
};

/// A command and its arguments, of any bytes.
using Words = std::initializer_list<std::string_view>;

/// A connection of the process that has made it. TRAP: inherited over fork, one socket has two readers, and each gets
/// answers to the other's questions. So each worker makes its own, and a stranger's is refused: std::logic_error.
/// All else that goes wrong is an Error, and leaves the connection useless: a server that is gone, that does not answer
/// in time, or whose answer is none, is too long, or of another type than the command has.
class Connection {
 public:
  static constexpr std::size_t kLongest = 65536;    ///< bytes of an answer, at least
  static constexpr std::size_t kMostElements = 64;  ///< of a list
  static constexpr int kDeepest = 7;                ///< lists in lists

  /// Connects, and authenticates where there is a password. It waits so long for one answer, and for all of this together.
  explicit Connection(const Address& address, std::chrono::milliseconds patience = std::chrono::seconds(4));
  Connection(Connection&& other) noexcept;
  ~Connection();

  /// One round trip. An answer that is an error is thrown.
  Reply command(Words words);
  std::optional<std::string> text(Words words);  ///< none for nil
  std::int64_t integer(Words words);
  void ok(Words words);  ///< for a command that answers OK and nothing else

  /// The same in two halves, so that many commands travel together: they go out with the first receive().
  void send(Words words);
  Reply receive();
  /// Whether something has come, or the server is gone: then receive() does not wait. One system call.
  bool has_news() const;

  int socket() const;
  const std::string& server() const { return server_; }  ///< its address, for sentences

 private:
  struct Free {
    void operator()(redisContext* context) const;
  };
  void check_owner() const;
  Reply receive(Deadline deadline);
  [[noreturn]] void refuse(std::string_view what) const;
  [[noreturn]] void is_gone() const;
  [[noreturn]] void answers_too_late() const;
  std::unique_ptr<redisContext, Free> context_;
  std::string server_;
  std::chrono::milliseconds patience_;
  pid_t owner_;
};

/// The server's version, "7.0.15". Throws Error where it is too old for what this lab asks of it (before 6.0), or is no
/// Redis.
std::string check_version(Connection& connection);

}  // namespace lab::redis
