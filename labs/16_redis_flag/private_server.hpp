// A Redis server of our own: nobody else can enter its folder or knows its password, and it ends with us, however we end.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "common/os/children.hpp"
#include "redis.hpp"

namespace lab::redis {

/// A folder with mode 0700 in TMPDIR (or /tmp), which somebody removes even when its user is killed: the kernel binds no
/// file with a name to a process. So a small process, the keeper, waits until the last holder of a pipe's end has gone, and
/// then removes it. Holders are this object and whatever process has inherited holder(). Throws std::system_error.
class PrivateFolder {
 public:
  PrivateFolder();
  PrivateFolder(PrivateFolder&&) = default;
  ~PrivateFolder();
  const std::string& path() const { return path_; }
  int holder() const { return holder_.get(); }
  pid_t keeper() const { return keeper_.pid(); }

 private:
  std::string path_;
  Descriptor holder_;
  ChildProcess keeper_;
};

/// The first executable file of that name in the folders of PATH.
std::optional<std::string> find_program(const std::string& name);

/// redis-server on PATH, or redis-check-rdb, which is the same program by another name: Debian has it in redis-tools,
/// without the service. None where there is neither.
std::optional<std::string> find_server();

/// A port of 127.0.0.1 that nobody listens on right now. Throws std::system_error.
int free_port();

/// The server: on a Unix socket (mode 0600) in its folder and on a port of 127.0.0.1, with a random password, and with no
/// snapshots but those it is asked for (SAVE). It dies with the thread that made it.
class PrivateServer {
 public:
  struct Settings {
    std::optional<Address> primary;              ///< of which it is a replica: over TCP
    std::function<int()> pick_port = free_port;  ///< asked again, a few times, where the port is taken after all
  };
  /// Throws Error where it cannot be started, std::system_error.
  PrivateServer() : PrivateServer(Settings()) {}
  explicit PrivateServer(Settings settings);

  const Address& by_socket() const { return by_socket_; }
  const Address& by_tcp() const { return by_tcp_; }
  pid_t pid() const { return process_.pid(); }
  const PrivateFolder& folder() const { return folder_; }

  /// Kills it, without a chance to save anything, and starts it anew in the same folder.
  void restart();
  /// Binds it to these CPUs. Throws std::system_error.
  void run_on(std::span<const int> cpus) const;

 private:
  bool start(bool port_may_be_taken);
  Settings settings_;
  PrivateFolder folder_;
  Address by_socket_, by_tcp_;
  ChildProcess process_;  // ends before its folder does
};

}  // namespace lab::redis
