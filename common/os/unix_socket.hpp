// A Unix socket that has a name, in a folder of its own that no other user can enter.
#pragma once

#include <string>

#include "common/os/descriptor.hpp"

namespace lab {

/// Where a server of ours listens: a folder of mode 0700 below TMPDIR, and in it a socket of mode 0600. Both are removed
/// with this object in the process that made it; a copy that fork has made of it removes nothing unless told to.
class SocketFolder {
 public:
  /// Makes the folder. Throws std::system_error; std::invalid_argument where the path is too long for a socket's name (107
  /// bytes).
  SocketFolder();
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;
  ~SocketFolder();

  /// Makes the socket, once, and listens: clients may connect from now on. Throws std::system_error.
  Descriptor listen(int backlog = 128) const;
  /// Removes both, whoever made them.
  void remove() const noexcept;

  const std::string& path() const { return path_; }  ///< of the socket

 private:
  pid_t owner_;
  std::string folder_, path_;
};

/// Connects to the socket of that path. Throws std::system_error: ECONNREFUSED or ENOENT where nobody listens any more,
/// EAGAIN where whoever does has accepted nobody for 10 s.
Descriptor connect_to(const std::string& path);

}  // namespace lab
