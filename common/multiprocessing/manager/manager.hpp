// multiprocessing.Manager: a server process of one's own, and objects in it that any process with the key can reach.
#pragma once

#include <optional>

#include "common/multiprocessing/manager/proxies.hpp"
#include "common/os/children.hpp"
#include "common/os/unix_socket.hpp"

namespace lab::manager {

struct ManagerOptions {
  std::optional<std::string> key;  ///< absent: 32 random bytes. Processes forked later have it
  int cpu = -1;                    ///< the server runs there alone; below 0: wherever it may
};

/// Forks the server, which listens on a Unix socket that no other user can reach. It ends with this object or with the process that
/// made it, whatever ends that; socket and folder go with it. Forked children have copies of this object, and use it as if it were theirs; only
/// the process that made it can shut it down. Make it before any thread starts (it warns on stderr when there are some).
class Manager {
 public:
  using Options = ManagerOptions;
  /// Throws std::invalid_argument for an empty key; std::system_error.
  explicit Manager(Options options = {});
  ~Manager() { shutdown(); }

  /// A new object: make<Value>(1), make<Namespace>(), make<List>(Items{...}), make<Dict>(Entries{...}), make<Lock>(),
  /// make<Queue>(most items).
  template <class P, class... Content>
  P make(Content... content) {
    return P(client_, client_->create(P::kType, {Object(std::move(content))...}));
  }
  /// The proxy in what another object has returned.
  template <class P>
  P proxy(Object token) {
    return P(client_, std::move(token));
  }
  /// Objects in the server that somebody still holds.
  std::int64_t number_of_objects() { return client_->number_of_objects(); }

  /// Ends the server and waits until it has: SIGTERM, a second later SIGKILL. Calls under way end with ManagerLost. Again: nothing.
  void shutdown();

  pid_t server() const { return server_.pid(); }
  const std::string& path() const { return folder_.path(); }  ///< of its socket
  const std::string& key() const { return key_; }

 private:
  const std::string key_;
  SocketFolder folder_;
  ChildProcess server_;
  std::shared_ptr<Client> client_;
};

}  // namespace lab::manager
