// A manager from the side of those who use it: connections, references, proxies.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/multiprocessing/manager/object.hpp"
#include "common/os/descriptor.hpp"
#include "common/os/timeout.hpp"

namespace lab::manager {

/// The server cannot be asked: it has ended, does not answer, or was never there.
struct ManagerLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One manager's server, as this process reaches it. Any thread may call; each call under way has a connection of its own,
/// which the next one takes over. A forked child connects anew at its first call, and tells the server then which
/// references it has a copy of: until then its parent's keep the objects alive.
class Client : public std::enable_shared_from_this<Client> {
 public:
  /// Nothing is connected yet. `path`: of the server's socket. Throws std::invalid_argument for an empty key.
  static std::shared_ptr<Client> of(std::string path, std::string key);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  /// Asks and waits for the answer, 60 s longer than the call itself may take (`waits`; none: as long as it takes). Throws
  /// the server's error; ManagerLost; AuthenticationError; MessageError for a request of more than kRequestLimit bytes.
  Object call(std::uint64_t object, Method method, Items arguments = {}, Timeout waits = std::chrono::seconds(0));

  /// A new object, from the type and what its referent is made from.
  Object create(Type type, Items arguments = {});
  std::int64_t number_of_objects();
  const std::string& path() const { return path_; }

 private:
  struct Connection {
    Descriptor socket;
    bool busy = true;
  };
  using Connections = std::list<Connection>;
  struct Reference;
  struct Forks;
  Client(std::string path, std::string key);
  Connections::iterator take(Request& request);
  Descriptor connect();
  void forget(std::uint64_t id) noexcept;

  const std::string path_, key_;
  std::mutex mutex_;
  Connections connections_;
  std::uint64_t process_ = 0;                    // this process's number at the server; 0: not introduced yet
  std::map<std::uint64_t, std::uint64_t> held_;  // references here: object and how many
  std::vector<std::uint64_t> released_;          // those the server is to be told are gone
};

/// What stands for an object in the server. Copies stand for the same one. It keeps the object alive, wherever it is: in a
/// variable, or in another proxy's list or dict.
class Proxy {
 public:
  std::uint64_t id() const { return token_.id; }
  operator Object() const { return token_; }  // NOLINT: a proxy goes wherever a value goes
  const std::shared_ptr<Client>& client() const { return client_; }

 protected:
  /// Throws TypeError for what is no proxy of that type.
  Proxy(std::shared_ptr<Client> client, Object token, Type type);
  Object call(Method method, Items arguments = {}, Timeout waits = std::chrono::seconds(0)) const {
    return client_->call(token_.id, method, std::move(arguments), waits);
  }
  /// How long a call may wait, as an argument of it.
  static Object seconds_of(const Timeout& timeout);
  std::shared_ptr<Client> client_;
  Token token_;
};
template <Type type>
class ProxyOf : public Proxy {
 public:
  static constexpr Type kType = type;
  /// The proxy that a reply holds. Throws TypeError for what is none of this type.
  ProxyOf(std::shared_ptr<Client> client, Object token) : Proxy(std::move(client), std::move(token), type) {}
};

}  // namespace lab::manager
