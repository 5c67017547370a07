#include "private_server.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "test_servers.hpp"

namespace lab::redis {
namespace {

namespace fs = std::filesystem;

struct Server : testing::Test {
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    if (!find_server()) GTEST_SKIP() << "there is no Redis server on PATH (apt-get install redis-tools)";
  }
};

/// What a lab's process tells of its server before it is killed.
struct Told {
  pid_t server = 0, keeper = 0;
  char folder[200] = {};
};
Told told_by(int fd) {
  Told told;
  if (read_full(fd, std::as_writable_bytes(std::span(&told, 1)), soon()) != sizeof told)
    throw std::runtime_error("told nothing");
  return told;
}
void tell(int fd, const PrivateServer& server) {
  Told told{.server = server.pid(), .keeper = server.folder().keeper()};
  server.folder().path().copy(told.folder, sizeof told.folder - 1);
  write_all(fd, std::as_bytes(std::span(&told, 1)));
}

TEST_F(Server, IsReachedByBothWaysAndWantsItsPassword) {
  const PrivateServer server;
  for (const Address& address : {server.by_socket(), server.by_tcp()}) {
    Connection connection(address);
    EXPECT_EQ(connection.text({"PING"}), "PONG");
    Address stranger = address;
    stranger.password.clear();
    EXPECT_TRUE(says(sentence_of([&] { Connection(stranger).command({"PING"}); }), "refuses PING: NOAUTH"));
    stranger.password = "guessed";
    EXPECT_TRUE(says(sentence_of([&] { Connection{stranger}; }), "refuses the password"));
  }
}

TEST_F(Server, IsOursAlone) {
  const PrivateServer server;
  struct stat folder {
  }, socket{};
  ASSERT_EQ(::stat(server.folder().path().c_str(), &folder), 0);
  ASSERT_EQ(::stat(server.by_socket().path.c_str(), &socket), 0);
  EXPECT_EQ(folder.st_mode & 0777, 0700u);
  EXPECT_EQ(socket.st_mode & 0777, 0600u);
  std::ifstream file(fmt::format("/proc/{}/cmdline", server.pid()));
  const std::string command_line((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(command_line.find(server.by_socket().password), std::string::npos) << "everybody can read a command line";
  EXPECT_NE(PrivateServer().by_socket().password, server.by_socket().password);
}

TEST_F(Server, LeavesNothing) {
  std::string folder;
  pid_t pid = 0, keeper = 0;
  {
    const PrivateServer server;
    Connection(server.by_socket()).ok({"SAVE"});
    folder = server.folder().path();
    pid = server.pid(), keeper = server.folder().keeper();
    EXPECT_TRUE(fs::exists(folder + "/dump.rdb"));
  }
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_NE(::kill(pid, 0), 0);
  EXPECT_NE(::kill(keeper, 0), 0);
}

// However a lab ends. What comes from a terminal reaches the server and the keeper, too.
TEST_F(Server, EndsWithAParentThatIsKilled) {
  for (const int signal : {SIGKILL, SIGINT, SIGTERM, SIGHUP}) {
    auto [reader, writer] = make_pipe();
    ChildProcess parent(start_child([&, &out = writer] {
      ::setpgid(0, 0);
      const PrivateServer server;
      tell(out.get(), server);
      ::pause();
    }));
    const Told told = told_by(reader.get());
    EXPECT_TRUE(fs::exists(told.folder));
    ::kill(signal == SIGKILL ? parent.pid() : -parent.pid(), signal);
    EXPECT_EQ(parent.wait(soon()), -signal);
    EXPECT_TRUE(is_gone(told.server)) << strsignal(signal);
    EXPECT_TRUE(is_gone(told.keeper)) << strsignal(signal);
    EXPECT_FALSE(fs::exists(told.folder)) << strsignal(signal);
  }
}

TEST_F(Server, AKilledKeeperIsReplacedByItsUser) {
  std::string folder;
  {
    const PrivateServer server;
    folder = server.folder().path();
    ::kill(server.folder().keeper(), SIGKILL);
  }
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(Server, APortAlreadyTakenIsASentence) {
  const PrivateServer first;
  const int taken = first.by_tcp().port;
  EXPECT_TRUE(
      says(sentence_of([&] { PrivateServer({.pick_port = [&] { return taken; }}); }), "Address already in use"));
  EXPECT_EQ(Connection(first.by_tcp()).text({"PING"}), "PONG");
  bool asked = false;  // taken between the look and the bind: another one is asked for
  const PrivateServer second({.pick_port = [&] { return std::exchange(asked, true) ? free_port() : taken; }});
  EXPECT_NE(second.by_tcp().port, taken);
}

TEST_F(Server, ARestartKeepsAddressAndPasswordAndLosesWhatWasNotSaved) {
  PrivateServer server;
  const auto value = [&] { return Connection(server.by_tcp()).text({"GET", "key"}); };
  Connection(server.by_socket()).ok({"SET", "key", "saved"});
  Connection(server.by_socket()).ok({"SAVE"});
  Connection(server.by_socket()).ok({"SET", "key", "not saved"});
  const pid_t before = server.pid();
  server.restart();
  EXPECT_NE(server.pid(), before);
  EXPECT_EQ(value(), "saved");
}

TEST_F(Server, ASnapshotThatCannotBeWrittenIsASentence) {
  const PrivateServer server;
  Connection connection(server.by_socket());
  connection.ok({"SET", "key", "1"});
  fs::create_directories(server.folder().path() + "/dump.rdb/in the way");
  EXPECT_TRUE(says(sentence_of([&] { connection.ok({"SAVE"}); }), "refuses SAVE: ERR"));
  EXPECT_EQ(connection.text({"GET", "key"}), "1");
}

// In a child that has a small file system for its temporary files.
TEST_F(Server, AFullDiskAtASnapshotIsASentence) {
  const std::string folder = fs::temp_directory_path() / "small";
  fs::create_directory(folder);
  const pid_t child = start_child([&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=16k") != 0)
      ::_exit(77);
    ::setenv("TMPDIR", folder.c_str(), 1);
    const PrivateServer server;
    Connection connection(server.by_socket());
    connection.ok({"SET", "key", std::string(50'000, 'x')});
    connection.ok({"CONFIG", "SET", "rdbcompression", "no"});
    const std::string sentence = sentence_of([&] { connection.ok({"SAVE"}); });
    if (sentence.find("refuses SAVE: ERR") == std::string::npos) throw std::runtime_error("it was saved: " + sentence);
  });
  const std::string end = end_of(child);
  fs::remove(folder);
  if (end == "status 77") GTEST_SKIP() << "no file system may be mounted here";
  EXPECT_EQ(end, "status 0");
}

TEST_F(Server, WithoutAProgramOrAFolderThereIsASentence) {
  const pid_t child = start_child([] {
    ::setenv("PATH", "/nonexistent", 1);
    if (find_server() || sentence_of([] { PrivateServer(); }).find("there is no redis-server") == std::string::npos)
      throw std::runtime_error("found one");
    ::setenv("TMPDIR", "/nonexistent", 1);
    const std::string sentence = sentence_of<std::system_error>([] { PrivateServer(); });
    if (sentence.find("cannot make a folder for Redis: No such file") == std::string::npos)
      throw std::runtime_error(sentence);
  });
  EXPECT_EQ(end_of(child), "status 0");
}

// A program by that name that is no server: it ends at once, or says nothing.
TEST_F(Server, AProgramThatDoesNotServeIsASentence) {
  const PrivateFolder folder;
  const auto sentence_with = [&](const std::string& script) {
    const std::string program = folder.path() + "/redis-server";
    std::ofstream(program) << "#!/bin/sh\n" << script;
    ::chmod(program.c_str(), 0700);
    const std::string path = std::getenv("PATH");
    ::setenv("PATH", (folder.path() + ":" + path).c_str(), 1);
    const std::string sentence = sentence_of([] { PrivateServer(); });
    ::setenv("PATH", path.c_str(), 1);
    return sentence;
  };
  EXPECT_TRUE(says(sentence_with("echo no such library; exit 1\n"), "did not start: no such library"));
  EXPECT_TRUE(says(sentence_with("exec sleep 100\n"), "is not ready after 5 s"));
}

}  // namespace
}  // namespace lab::redis
