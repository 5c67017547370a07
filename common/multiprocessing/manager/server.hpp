// A manager's server: objects, and a thread for each connection that asks for them.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/multiprocessing/manager/referent.hpp"
#include "common/os/descriptor.hpp"

namespace lab::manager {

/// Connections that are served at a time, each by a thread; one more is refused with a sentence. As many others may be in
/// the middle of their handshake; one more, and the one that has been at it the longest has to go.
inline constexpr std::size_t kMostConnections = 1000;

class Server {
 public:
  /// Throws std::invalid_argument for an empty key.
  explicit Server(std::string key, std::size_t most_connections = kMostConnections);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Accepts and serves whoever connects to this listening socket, of whatever family, until `owner` (a pidfd) is readable.
  /// Threads still serve then: the process is to end without destroying this object.
  void serve(const Descriptor& listener, const Descriptor& owner);

  /// One connection from its handshake to its end, on the calling thread. Throws nothing: who cannot be served is told,
  /// and let go.
  void serve_connection(Descriptor connection) noexcept;
  /// The same without a handshake.
  void serve_requests(int socket);

  std::size_t objects() const;
  std::size_t connections() const;  ///< that are served
  std::size_t strangers() const;    ///< whose handshake is not done

 private:
  struct Held {
    std::shared_ptr<const void> object;
    std::uint64_t references = 0;
  };
  struct Process {  // a client, over all its connections
    std::size_t connections = 0;
    std::map<std::uint64_t, Held> held;
  };
  class Visit;
  void accept_one(const Descriptor& listener);
  Reply answer(Request& request, const Caller& caller);
  Object on_server(Request& request);
  std::shared_ptr<Referent> find(std::uint64_t id, Type* type = nullptr) const;
  void hold(std::uint64_t process, Token& token, std::uint64_t references = 1);
  void release(std::uint64_t process, const std::vector<std::uint64_t>& ids);

  const std::string key_;
  const std::size_t most_connections_;
  Descriptor spare_;  // given up to tell a client that there are no descriptors left

  struct Entry {
    Type type;
    std::weak_ptr<Referent> referent;
  };
  std::atomic<std::uint64_t> last_id_ = kServer;
  mutable std::mutex mutex_;  // of all below; no object's code runs under it
  std::map<std::uint64_t, Entry> objects_;
  std::map<std::uint64_t, Process> processes_;
  std::size_t connections_ = 0;
  std::list<int> strangers_;  // sockets whose handshake is not done, the oldest first
};

}  // namespace lab::manager
