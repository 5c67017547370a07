#include "common/os/unix_socket.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "common/os/test_child.hpp"

namespace {

using namespace lab;
namespace fs = std::filesystem;

unsigned mode_of(const fs::path& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 ? about.st_mode & 0777 : 0;
}

TEST(SocketFolder, IsEnteredByItsOwnerAlone) {
  const SocketFolder folder;
  const Descriptor listener = folder.listen();
  EXPECT_EQ(mode_of(folder.path()), 0600u);
  EXPECT_EQ(mode_of(fs::path(folder.path()).parent_path()), 0700u);
}

TEST(SocketFolder, CarriesBytesAndIsGoneWithItsMaker) {
  std::string path;
  {
    const SocketFolder folder;
    path = folder.path();
    const Descriptor listener = folder.listen(), ours = connect_to(path),
                     theirs(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::byte sent{7};
    std::byte got{};
    write_all(ours.get(), {&sent, 1});
    EXPECT_EQ(read_full(theirs.get(), {&got, 1}, soon()), 1u);
    EXPECT_EQ(got, sent);
    EXPECT_EQ(end_of(start_child([&] { const_cast<SocketFolder&>(folder).~SocketFolder(); })), "status 0");
    EXPECT_TRUE(fs::exists(path)) << "a forked copy has removed its maker's socket";
  }
  EXPECT_FALSE(fs::exists(fs::path(path).parent_path()));
}

TEST(SocketFolder, NobodyListensIsAnErrorAtOnce) {
  const SocketFolder folder;
  EXPECT_THROW(connect_to(folder.path()), std::system_error);
  folder.listen();
  EXPECT_THROW(connect_to(folder.path()), std::system_error);
}

TEST(SocketFolder, AFolderTooDeepIsASentence) {
  EXPECT_EQ(end_of(start_child([] {
              ::setenv("TMPDIR", ("/tmp" + std::string(200, '/')).c_str(), 1);
              try {
                const SocketFolder folder;
              } catch (const std::invalid_argument& error) {
                if (std::string(error.what()).find("TMPDIR") != std::string::npos) return;
              }
              throw std::runtime_error("a path of 200 bytes was taken for a socket's name");
            })),
            "status 0");
}

}  // namespace
