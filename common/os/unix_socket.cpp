#include "common/os/unix_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace lab {
namespace {

sockaddr_un name_of(const std::string& path) {
  sockaddr_un name{.sun_family = AF_UNIX};
  if (path.size() >= sizeof name.sun_path) {
    throw std::invalid_argument("a socket's name may have " + std::to_string(sizeof name.sun_path - 1) +
                                " bytes, not " + std::to_string(path.size()) + " (" + path +
                                "): set TMPDIR to a shorter path");
  }
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  return name;
}

Descriptor make_socket() {
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("cannot make a socket");
  return socket;
}

}  // namespace

SocketFolder::SocketFolder() : owner_(::getpid()), folder_(std::filesystem::temp_directory_path() / "lab-XXXXXX") {
  name_of(folder_ + "/socket");
  if (::mkdtemp(folder_.data()) == nullptr) throw_errno("cannot make a folder for a socket in " + folder_);
  path_ = folder_ + "/socket";
}

SocketFolder::~SocketFolder() {
  if (owner_ == ::getpid()) remove();
}

Descriptor SocketFolder::listen(int backlog) const {
  const sockaddr_un name = name_of(path_);
  Descriptor socket = make_socket();
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) < 0 ||
      ::chmod(path_.c_str(), S_IRUSR | S_IWUSR) < 0 || ::listen(socket.get(), backlog) < 0)
    throw_errno("cannot listen at " + path_);
  return socket;
}

void SocketFolder::remove() const noexcept {
  ::unlink(path_.c_str());
  ::rmdir(folder_.c_str());
}

Descriptor connect_to(const std::string& path) {
  const sockaddr_un name = name_of(path);
  Descriptor socket = make_socket();
  const timeval patience{10, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) < 0) {
    if (errno != EINTR) throw_errno("cannot connect to " + path);
  }
  return socket;
}

}  // namespace lab
