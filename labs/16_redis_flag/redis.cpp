#include "redis.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <new>
#include <utility>

#include "common/os/descriptor.hpp"

namespace lab::redis {
namespace {

// hiredis parses; what it finds it makes by these, so that a list is bounded before it is allocated, and no C++ exception
// passes through C. In a list an answer is made where the list has room for it. Null stops the parser.
Reply* room_for(const redisReadTask* task) {
  if (task->parent == nullptr) return new (std::nothrow) Reply;
  return &static_cast<Reply*>(task->parent->obj)->list[static_cast<std::size_t>(task->idx)];
}
void* make_text(const redisReadTask* task, char* bytes, std::size_t length) noexcept {
  Reply* reply = room_for(task);
  if (reply == nullptr) return nullptr;
  try {
    reply->text.assign(bytes, length);
  } catch (const std::bad_alloc&) {
    if (task->parent == nullptr) delete reply;
    return nullptr;
  }
  reply->type = task->type == REDIS_REPLY_ERROR ? Reply::Type::error : Reply::Type::text;
  return reply;
}
void* make_list(const redisReadTask* task, std::size_t elements) noexcept {
  if (elements > Connection::kMostElements) return nullptr;
  int depth = 0;  // hiredis 0.14 has a limit of its own; later ones go as deep as they are led
  for (const redisReadTask* list = task; list->parent != nullptr; list = list->parent) {
    if (++depth == Connection::kDeepest) return nullptr;
  }
  Reply* reply = room_for(task);
  if (reply == nullptr) return nullptr;
  try {
    reply->list.resize(elements);
  } catch (const std::bad_alloc&) {
    if (task->parent == nullptr) delete reply;
    return nullptr;
  }
  reply->type = Reply::Type::list;
  return reply;
}
void* make_integer(const redisReadTask* task, long long value) noexcept {
  Reply* reply = room_for(task);
  if (reply != nullptr) *reply = {.type = Reply::Type::integer, .integer = value};
  return reply;
}
void* make_nil(const redisReadTask* task) noexcept { return room_for(task); }
void free_reply(void* reply) noexcept { delete static_cast<Reply*>(reply); }  // only ever a whole answer

template <class Functions>
Functions make_by_ours() {
  Functions make{};
  make.createString = make_text;
  // The count is an int in hiredis 0.14 and a size_t since 1.0.
  make.createArray = [](const redisReadTask* task, auto elements) -> void* {
    return make_list(task, static_cast<std::size_t>(elements));
  };
  make.createInteger = make_integer;
  make.createNil = make_nil;
  make.freeObject = free_reply;
  // Since 1.0 it also knows types that nobody has asked for; without a function it would make up a pointer.
  if constexpr (requires { make.createDouble; }) {
    make.createDouble = [](const redisReadTask* task, double, char*, std::size_t) -> void* { return make_nil(task); };
    make.createBool = [](const redisReadTask* task, int) -> void* { return make_nil(task); };
  }
  return make;
}
redisReplyObjectFunctions ours = make_by_ours<redisReplyObjectFunctions>();

// A stranger's words, fit to be printed: one line, of bounded length.
std::string printable(std::string_view text) {
  std::string line(text.substr(0, 100));
  for (char& c : line) {
    if (c < ' ' || c > '~') c = '?';
  }
  return line;
}

timeval left_until(Deadline deadline) {
  const timespec left = time_left(deadline);
  return {left.tv_sec, std::max<suseconds_t>(left.tv_nsec / 1000, 1)};  // a timeout of 0 would be none
}

}  // namespace

std::string Address::name() const {
  if (!path.empty()) return path;
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

Address parse_address(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) throw std::invalid_argument("an address has no NUL");
  if (text.find('/') != std::string_view::npos) return {.path = std::string(text)};
  const std::size_t colon = text.rfind(':');
  int port = 0;
  const char* end = text.data() + text.size();
  if (colon != std::string_view::npos) {
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
    if (error != std::errc() || stop != end) port = 0;
  }
  std::string_view host = text.substr(0, std::min(colon, text.size()));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (port < 1 || port > 65535 || host.empty())
    throw std::invalid_argument(fmt::format("'{}': HOST:PORT or the PATH of a Unix socket is wanted", printable(text)));
  return {.host = std::string(host), .port = port};
}

void Connection::Free::operator()(redisContext* context) const { ::redisFree(context); }

Connection::Connection(const Address& address, std::chrono::milliseconds patience)
    : server_(address.name()), patience_(patience), owner_(::getpid()) {
  const Deadline deadline = Clock::now() + patience_;
  if (address.path.size() >= sizeof(sockaddr_un::sun_path))  // hiredis would cut it
    throw Error(fmt::format("cannot reach Redis at {}: a Unix socket's path has at most {} bytes", server_,
                            sizeof(sockaddr_un::sun_path) - 1));
  context_.reset(address.path.empty()
                     ? ::redisConnectWithTimeout(address.host.c_str(), address.port, left_until(deadline))
                     : ::redisConnectUnixWithTimeout(address.path.c_str(), left_until(deadline)));
  if (!context_) throw Error(fmt::format("cannot reach Redis at {}: out of memory", server_));
  if (context_->err) throw Error(fmt::format("cannot reach Redis at {}: {}", server_, printable(context_->errstr)));
  ::fcntl(context_->fd, F_SETFD, FD_CLOEXEC);
  ::redisSetTimeout(context_.get(), left_until(deadline));
  context_->reader->fn = &ours;
  if (!address.password.empty()) {
    send({"AUTH", address.password});
    const Reply reply = receive(deadline);
    if (reply.type == Reply::Type::error)
      throw Error(fmt::format("Redis at {} refuses the password: {}", server_, printable(reply.text)));
    if (reply.text != "OK") refuse("AUTH with something else than OK");
  }
  ::redisSetTimeout(context_.get(), left_until(Clock::now() + patience_));
}
Connection::Connection(Connection&& other) noexcept = default;
Connection::~Connection() = default;

int Connection::socket() const { return context_->fd; }

void Connection::refuse(std::string_view what) const {
  throw Error(fmt::format("Redis at {} answered {}", server_, what));
}

void Connection::is_gone() const { throw Error(fmt::format("Redis at {} has closed the connection", server_)); }

void Connection::answers_too_late() const {
  throw Error(fmt::format("Redis at {} has not answered within {} s", server_,
                          std::chrono::duration<double>(patience_).count()));
}

void Connection::check_owner() const {
  if (owner_ != ::getpid())
    throw std::logic_error("a connection to Redis was inherited over fork: connect in the worker");
}

void Connection::send(Words words) {
  check_owner();
  constexpr std::size_t kMostWords = 8;
  std::array<const char*, kMostWords> text{};
  std::array<std::size_t, kMostWords> length{};
  std::size_t count = 0;
  for (const std::string_view word : words) {
    if (count == kMostWords) throw std::logic_error("a command of more than 8 words");
    text[count] = word.data();
    length[count++] = word.size();
  }
  if (::redisAppendCommandArgv(context_.get(), static_cast<int>(count), text.data(), length.data()) != REDIS_OK)
    throw std::bad_alloc();
}

Reply Connection::receive() {
  check_owner();
  return receive(Deadline::max());
}

// The socket's own timeout is for each piece: of an answer that trickles in, the rest has a deadline. One that comes whole
// costs a single system call to be read.
Reply Connection::receive(Deadline deadline) {
  for (int done = 0; !done;) {
    if (::redisBufferWrite(context_.get(), &done) == REDIS_OK) continue;
    if (errno == EPIPE || errno == ECONNRESET) is_gone();
    throw Error(fmt::format("Redis at {} does not take what is sent: {}", server_, printable(context_->errstr)));
  }
  std::size_t got = 0;
  for (int pieces = 0;; ++pieces) {
    void* found = nullptr;
    if (::redisGetReplyFromReader(context_.get(), &found) != REDIS_OK)
      refuse(fmt::format("what is no answer: {}", printable(context_->errstr)));
    if (const std::unique_ptr<Reply> reply(static_cast<Reply*>(found)); reply) return std::move(*reply);
    if (got > kLongest) refuse(fmt::format("with more than {} bytes", kLongest));
    if (pieces == 1) deadline = std::min(deadline, Clock::now() + patience_);
    if (pieces > 0 && !wait_for(context_->fd, POLLIN, deadline)) answers_too_late();

    std::array<char, 16384> piece;
    const ssize_t n = ::recv(context_->fd, piece.data(), piece.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) answers_too_late();
    if (n == 0 || (n < 0 && errno == ECONNRESET)) is_gone();
    if (n < 0) throw Error(fmt::format("Redis at {} cannot be read: {}", server_, std::strerror(errno)));
    got += static_cast<std::size_t>(n);
    if (::redisReaderFeed(context_->reader, piece.data(), static_cast<std::size_t>(n)) != REDIS_OK)
      throw std::bad_alloc();
  }
}

bool Connection::has_news() const {
  char byte = 0;
  return ::recv(context_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

Reply Connection::command(Words words) {
  send(words);
  Reply reply = receive(Deadline::max());
  if (reply.type == Reply::Type::error)
    throw Error(fmt::format("Redis at {} refuses {}: {}", server_, *words.begin(), printable(reply.text)));
  return reply;
}

std::optional<std::string> Connection::text(Words words) {
  Reply reply = command(words);
  if (reply.type == Reply::Type::nil) return std::nullopt;
  if (reply.type != Reply::Type::text) refuse(fmt::format("{} with something else than text", *words.begin()));
  return std::move(reply.text);
}

std::int64_t Connection::integer(Words words) {
  const Reply reply = command(words);
  if (reply.type != Reply::Type::integer) refuse(fmt::format("{} with something else than a number", *words.begin()));
  return reply.integer;
}

void Connection::ok(Words words) {
  if (text(words) != "OK") refuse(fmt::format("{} with something else than OK", *words.begin()));
}

std::string check_version(Connection& connection) {
  const std::string info = connection.text({"INFO", "server"}).value_or("");
  constexpr std::string_view label = "redis_version:";
  const std::size_t at = info.find(label);
  if (at == std::string::npos)
    throw Error(fmt::format("what answers at {} does not say that it is Redis", connection.server()));
  const std::string version =
      printable(info.substr(at + label.size(), info.find_first_of("\r\n", at) - at - label.size()));
  int major = 0;
  std::from_chars(version.data(), version.data() + version.size(), major);
  if (major < 6)
    throw Error(fmt::format("Redis at {} is version {}, and 6.0 is the first that tells its clients of changes",
                            connection.server(), version));
  return version;
}

}  // namespace lab::redis
