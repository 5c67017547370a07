#include "private_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <utility>

#include "common/os/descriptor.hpp"

namespace lab::redis {
namespace {

namespace fs = std::filesystem;

constexpr auto kReady = std::chrono::seconds(5);  // it takes milliseconds

// What the keeper does. It outlives its parent on purpose, and no signal of a terminal ends it: all are blocked.
void keep_folder(int report, int held) {
  const char* temporary = std::getenv("TMPDIR");
  std::string path = fmt::format("{}/redis-XXXXXX", temporary && *temporary ? temporary : "/tmp");
  path = fs::absolute(path);
  if (::mkdtemp(path.data()) == nullptr) path = fmt::format("!{}", errno);
  [[maybe_unused]] const auto told = ::write(report, path.data(), path.size());  // to a parent that may have died
  // Nothing else of the parent's stays open: not the other end of the pipe, nor its output, whose reader would wait for us.
  ::close_range(0, static_cast<unsigned>(held) - 1, 0);
  ::close_range(static_cast<unsigned>(held) + 1, ~0u, 0);
  std::array<std::byte, 1> nothing;
  read_full(held, nothing);  // end-of-file: the last holder has gone
  std::error_code error;
  if (path.front() != '!') fs::remove_all(path, error);
}

Descriptor memory_file(const std::string& name, std::string_view content) {
  Descriptor file(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!file) throw_errno("cannot make a file in memory");
  write_all(file.get(), std::as_bytes(std::span(content)));
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string random_password() {
  std::array<unsigned char, 24> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw_errno("cannot get random bytes");
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

// As redis.conf has it: whatever the folder's name contains.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return out + '"';
}

// Why it did not start: the line of its log that names a failed bind, or the last one; without process, date and time.
std::string last_words(const Descriptor& log) {
  std::string text(8192, '\0'), words;
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::pread(log.get(), text.data(), text.size(), 0))));
  std::istringstream lines(text);
  for (std::string line; words.find("bind: ") == std::string::npos && std::getline(lines, line);) {
    if (!line.empty()) words = line;
  }
  if (const auto stamp = words.find(" # "); stamp != std::string::npos) words.erase(0, stamp + 3);
  return words.empty() ? "it said nothing" : words.substr(0, 150);
}

}  // namespace

PrivateFolder::PrivateFolder() {
  auto [told, report] = make_pipe();
  auto [held, holder] = make_pipe();
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  pid_t pid = 0;
  try {
    pid = fork_child(false);
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  if (pid == 0) {
    leave([&, &out = report, &in = held] { keep_folder(out.get(), in.get()); });
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  keeper_ = ChildProcess(pid);
  holder_ = std::move(holder);
  report.reset();
  std::string path(4096, '\0');
  path.resize(read_full(told.get(), std::as_writable_bytes(std::span(path))));
  if (path.empty() || path.front() == '!') {
    errno = path.empty() ? ECHILD : std::atoi(path.c_str() + 1);
    throw_errno("cannot make a folder for Redis");
  }
  path_ = std::move(path);
}

PrivateFolder::~PrivateFolder() {
  holder_.reset();
  if (!keeper_.ours()) return;
  keeper_.wait(Clock::now() + std::chrono::seconds(2));
  std::error_code error;  // for a keeper that was killed, or waits for somebody who should have gone
  if (!path_.empty()) fs::remove_all(path_, error);
}

std::optional<std::string> find_program(const std::string& name) {
  const char* folders = std::getenv("PATH");
  for (std::string_view left = folders ? folders : ""; !left.empty();) {
    const std::string_view folder = left.substr(0, left.find(':'));
    left.remove_prefix(std::min(folder.size() + 1, left.size()));
    const std::string program = fmt::format("{}/{}", folder.empty() ? "." : folder, name);
    std::error_code error;
    if (fs::is_regular_file(program, error) && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return std::nullopt;
}

std::optional<std::string> find_server() {
  auto server = find_program("redis-server");
  return server ? server : find_program("redis-check-rdb");
}

int free_port() {
  const Descriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {.s_addr = ::htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  if (!probe || ::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw_errno("cannot find a free port of 127.0.0.1");
  return ::ntohs(address.sin_port);
}

PrivateServer::PrivateServer(Settings settings) : settings_(std::move(settings)) {
  by_socket_ = {.path = folder_.path() + "/redis.sock", .password = random_password()};
  by_tcp_ = {.host = "127.0.0.1", .password = by_socket_.password};
  if (by_socket_.path.size() >= sizeof(sockaddr_un::sun_path))
    throw Error(fmt::format("{} is too long a name for a Unix socket: set TMPDIR to a shorter one", by_socket_.path));
  for (int left = 5;; --left) {  // whoever was told of a free port cannot hold it for the server
    by_tcp_.port = settings_.pick_port();
    if (start(left > 0)) return;
  }
}

void PrivateServer::restart() {
  process_ = ChildProcess();
  start(false);
}

bool PrivateServer::start(bool port_may_be_taken) {
  const std::optional<std::string> program = find_server();
  if (!program) throw Error("there is no redis-server, nor redis-check-rdb, on PATH");
  std::string configuration = fmt::format(
      "bind 127.0.0.1\nport {}\nunixsocket {}\nunixsocketperm 600\ndir {}\nrequirepass {}\nmasterauth {}\n"
      "save \"\"\nappendonly no\nmaxmemory 64mb\ndaemonize no\ndatabases 1\nlogfile \"\"\nloglevel warning\n"
      "repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n",
      by_tcp_.port, in_quotes(by_socket_.path), in_quotes(folder_.path()), by_socket_.password,
      settings_.primary ? settings_.primary->password : by_socket_.password);
  if (settings_.primary)
    configuration += fmt::format("replicaof {} {}\n", settings_.primary->host, settings_.primary->port);
  // From its stdin, so that the password is in no command line and in no file.
  const Descriptor in = memory_file("redis.conf", configuration), out = memory_file("redis.log", "");
  ::unlink(by_socket_.path.c_str());  // of a server that was killed

  const pid_t pid = fork_child();
  if (pid == 0) {
    leave([&] {
      if (::dup2(in.get(), 0) < 0 || ::dup2(out.get(), 1) < 0 || ::dup2(out.get(), 2) < 0)
        throw_errno("cannot start Redis");
      ::fcntl(folder_.holder(), F_SETFD, 0);  // the folder stays as long as the server and what it forks
      ::execl(program->c_str(), "redis-server", "-", nullptr);
      throw_errno("cannot run " + *program);
    });
  }
  process_ = ChildProcess(pid);
  for (const Deadline deadline = Clock::now() + kReady;;) {
    try {
      Connection connection(by_socket_);
      if (connection.text({"PING"}) == "PONG") {
        check_version(connection);
        return true;
      }
    } catch (const Error& error) {
      if (process_.wait(Clock::now() + std::chrono::milliseconds(1))) {
        const std::string words = last_words(out);
        if (port_may_be_taken && words.find("Address already in use") != std::string::npos) return false;
        throw Error(fmt::format("{} did not start: {}", *program, words));
      }
      if (Clock::now() >= deadline)
        throw Error(fmt::format("{} is not ready after {} s: {}", *program, kReady.count(), error.what()));
    }
  }
}

void PrivateServer::run_on(std::span<const int> cpus) const {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int cpu : cpus) CPU_SET(cpu, &mask);
  if (::sched_setaffinity(process_.pid(), sizeof mask, &mask) != 0) throw_errno("cannot bind Redis to a CPU");
}

}  // namespace lab::redis
