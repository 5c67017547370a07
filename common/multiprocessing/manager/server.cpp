#include "common/multiprocessing/manager/server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

#include "common/multiprocessing/manager/handshake.hpp"
#include "common/multiprocessing/queue/queue.hpp"
#include "common/os/message.hpp"

namespace lab::manager {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);  // with a client that does not take its reply

Descriptor open_spare() { return Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// One after another, never one inside another: proxies may be nested deeper than a stack is.
void dispose(Referent* referent) {
  thread_local std::vector<Referent*> condemned;
  thread_local bool at_work = false;
  condemned.push_back(referent);
  if (std::exchange(at_work, true)) return;
  while (!condemned.empty()) {
    const std::unique_ptr<Referent> next(condemned.back());
    condemned.pop_back();
  }
  at_work = false;
}

Reply failure(ErrorType type, const char* sentence) { return {.error = type, .sentence = sentence, .result = {}}; }

}  // namespace

Server::Server(std::string key, std::size_t most_connections)
    : key_(checked(key)), most_connections_(most_connections), spare_(open_spare()) {}

// TRAP: proxies that are in one another keep each other alive as long as the server lives. So do CPython's.
Server::~Server() {
  std::vector<std::shared_ptr<Referent>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : objects_) all.push_back(entry.referent.lock());
  }
  for (const auto& referent : all) {
    if (referent) referent->clear();
  }
}

std::size_t Server::objects() const {
  const std::lock_guard lock(mutex_);
  return objects_.size();
}
std::size_t Server::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_;
}
std::size_t Server::strangers() const {
  const std::lock_guard lock(mutex_);
  return strangers_.size();
}

// ---- connections ----------------------------------------------------------------------------------------------------

void Server::serve(const Descriptor& listener, const Descriptor& owner) {
  rlimit files{};  // a descriptor a connection, and most systems give no more than 1024 to who does not ask
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = std::max(files.rlim_cur, std::min<rlim_t>(files.rlim_max, 2 * most_connections_ + 64));
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  std::array<pollfd, 2> polls{pollfd{listener.get(), POLLIN, 0}, pollfd{owner.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(polls.data(), polls.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw_errno("a manager's server cannot wait for clients");
    }
    if (polls[1].revents != 0) return;
    if (polls[0].revents != 0) accept_one(listener);
  }
}

void Server::accept_one(const Descriptor& listener) {
  Descriptor connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection && (errno == EMFILE || errno == ENFILE)) {
    spare_.reset();
    connection.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) refuse_client(connection.get(), "the server has no descriptor left");
    connection.reset();
    spare_ = open_spare();
  }
  if (!connection) return;  // it is gone again
  const auto shared = std::make_shared<Descriptor>(std::move(connection));
  {
    const std::lock_guard lock(mutex_);
    if (strangers_.size() >= most_connections_) ::shutdown(strangers_.front(), SHUT_RDWR);  // its thread hears that
    strangers_.push_back(shared->get());
  }
  try {
    std::thread([this, shared] { serve_connection(std::move(*shared)); }).detach();
  } catch (const std::system_error&) {
    refuse_client(shared->get(), "the server can start no thread for it");
    const std::lock_guard lock(mutex_);
    strangers_.remove(shared->get());
  }
}

void Server::serve_connection(Descriptor connection) noexcept try {
  const int socket = connection.get();
  struct Stranger {  // as long as it is one
    Server& server;
    int socket;
    ~Stranger() {
      const std::lock_guard lock(server.mutex_);
      server.strangers_.remove(socket);
    }
  };
  {
    const Stranger stranger{*this, socket};
    {
      const std::lock_guard lock(mutex_);
      if (connections_ >= most_connections_) {
        refuse_client(socket, "it serves " + std::to_string(connections_) + " connections, and that is all it can");
        return;
      }
    }
    admit_client(socket, key_, Clock::now() + kHandshakePatience);
  }
  serve_requests(socket);
} catch (const std::exception&) {  // a client that is gone, or was no client: there is nobody to tell
}

// A connection of a process, while it lasts.
class Server::Visit {
 public:
  Visit(Server& server, Hello hello) : server_(server), process_(hello.process) {
    {
      const std::lock_guard lock(server_.mutex_);
      ++server_.connections_;
      ++server_.processes_[process_].connections;
    }
    for (const auto& [id, references] : hello.held) {
      Token token(id, {});
      try {
        token.keeps = server_.find(id, &token.type);
      } catch (const RemoteError&) {
        continue;  // gone before the forked process could say that it has it
      }
      server_.hold(process_, token, references);
    }
  }
  ~Visit() {
    Process last;
    std::vector<std::shared_ptr<Referent>> all;
    {
      const std::lock_guard lock(server_.mutex_);
      --server_.connections_;
      const auto process = server_.processes_.find(process_);
      if (--process->second.connections > 0) return;
      last = std::move(process->second);
      server_.processes_.erase(process);
      for (const auto& [id, entry] : server_.objects_) all.push_back(entry.referent.lock());
    }
    for (const auto& referent : all) {
      if (referent) referent->process_ended(process_);
    }
  }  // and its references go

 private:
  Server& server_;
  const std::uint64_t process_;
};

void Server::serve_requests(int socket) {
  const auto first = receive_message(socket, kRequestLimit, Clock::now() + kHandshakePatience);
  if (!first) return;
  auto hello = decode<Hello>(*first);
  const Caller caller{hello.process, socket};
  const Visit visit(*this, std::move(hello));
  const auto take_back = [this](const Request& request, Reply& reply) {
    if (request.object == kServer || reply.error != ErrorType::none) return;
    try {
      find(request.object)->undelivered(request.method, std::move(reply.result));
    } catch (const RemoteError&) {  // the object is gone, too
    }
  };
  for (bool understood = true; understood;) {
    Request request;
    Reply reply;
    try {
      const auto message = receive_message(socket, kRequestLimit);
      if (!message) return;
      request = decode<Request>(*message);
      release(caller.process, request.released);
      reply = answer(request, caller);
    } catch (const MessageError& error) {
      reply = failure(ErrorType::remote, error.what());
      understood = false;  // nobody knows where the next one begins
    } catch (const CallerGone&) {
      return;
    }
    std::string bytes = encode(reply);
    if (bytes.size() > kRequestLimit) {
      take_back(request, reply);
      bytes = encode(failure(ErrorType::value, "the result does not fit into a message of 16 MiB"));
    }
    try {
      send_message(socket, bytes, Clock::now() + kPatience);
    } catch (const std::system_error&) {
      return take_back(request, reply);
    }
  }
}

// ---- requests -------------------------------------------------------------------------------------------------------

Reply Server::answer(Request& request, const Caller& caller) try {
  Object arguments = std::move(request.arguments);
  for_each_token(arguments, [this](Token& token) { token.keeps = find(token.id, &token.type); });
  request.arguments = std::move(std::get<Items>(arguments));
  Reply reply;
  reply.result = request.object == kServer ? on_server(request)
                                           : find(request.object)->call(request.method, request.arguments, caller);
  for_each_token(reply.result, [&](Token& token) { hold(caller.process, token); });
  return reply;
} catch (const RemoteError& error) {
  return failure(error.type, error.what());
} catch (const queue::Empty& error) {
  return failure(ErrorType::empty, error.what());
} catch (const queue::Full& error) {
  return failure(ErrorType::full, error.what());
} catch (const std::exception& error) {  // memory may have run out
  return failure(ErrorType::remote, error.what());
}

Object Server::on_server(Request& request) {
  if (request.method == Method::number_of_objects) return static_cast<std::int64_t>(objects());
  if (request.method != Method::create) throw RemoteError("a server has no " + to_string(request.method));
  auto [type, made] = make_referent(request.arguments);
  const std::uint64_t id = ++last_id_;
  const std::shared_ptr<Referent> referent(made.release(), [this, id](Referent* last) {
    {
      const std::lock_guard own(mutex_);
      objects_.erase(id);
    }
    dispose(last);
  });
  const std::lock_guard lock(mutex_);
  objects_[id] = {type, referent};
  return Token(id, type, referent);
}

std::shared_ptr<Referent> Server::find(std::uint64_t id, Type* type) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = objects_.find(id); found != objects_.end()) {
      if (auto referent = found->second.referent.lock()) {
        if (type) *type = found->second.type;
        return referent;
      }
    }
  }
  throw RemoteError("the manager has no object " + std::to_string(id) + ": nobody held it any more");
}

void Server::hold(std::uint64_t process, Token& token, std::uint64_t references) {
  const std::lock_guard lock(mutex_);
  Held& held = processes_[process].held[token.id];
  if (!held.object) held.object = token.keeps;
  held.references += references;
}

void Server::release(std::uint64_t process, const std::vector<std::uint64_t>& ids) {
  std::vector<std::shared_ptr<const void>> gone;  // after the lock is
  const std::lock_guard lock(mutex_);
  for (const std::uint64_t id : ids) {
    auto& held = processes_[process].held;
    const auto found = held.find(id);
    if (found == held.end() || --found->second.references > 0) continue;
    gone.push_back(std::move(found->second.object));
    held.erase(found);
  }
}

}  // namespace lab::manager
