#include "common/multiprocessing/manager/client.hpp"

#include <poll.h>
#include <pthread.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "common/multiprocessing/manager/handshake.hpp"
#include "common/os/message.hpp"
#include "common/os/unix_socket.hpp"

namespace lab::manager {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);

}  // namespace

// All clients of this process, for the moment of a fork: the child's copies must be in order, and its connections closed, for
// they are its parent's. Never destroyed: a proxy may be a static.
struct Client::Forks {
  std::mutex mutex;
  std::list<Client*> clients;
  static Forks& all() {
    static auto& forks = *new Forks;
    static const int registered = ::pthread_atfork(prepare, in_parent, in_child);
    if (registered != 0) throw std::system_error(registered, std::generic_category(), "cannot watch for forks");
    return forks;
  }
  static void prepare() {
    all().mutex.lock();
    for (Client* client : all().clients) client->mutex_.lock();
  }
  static void in_parent() {
    for (Client* client : all().clients) client->mutex_.unlock();
    all().mutex.unlock();
  }
  static void in_child() {
    for (Client* client : all().clients) {
      client->connections_.clear();
      client->released_.clear();
      client->process_ = 0;
    }
    in_parent();
  }
};

// A token that this process has been sent.
struct Client::Reference {
  std::weak_ptr<Client> client;
  std::uint64_t id;
  Reference(std::weak_ptr<Client> of, std::uint64_t object) : client(std::move(of)), id(object) {}
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;
  ~Reference() {
    if (const auto there = client.lock()) there->forget(id);
  }
};

Client::Client(std::string path, std::string key) : path_(std::move(path)), key_(checked(key)) {
  Forks& forks = Forks::all();
  const std::lock_guard lock(forks.mutex);
  forks.clients.push_back(this);
}
Client::~Client() {
  Forks& forks = Forks::all();
  const std::lock_guard lock(forks.mutex);
  forks.clients.remove(this);
}
std::shared_ptr<Client> Client::of(std::string path, std::string key) {
  return std::shared_ptr<Client>(new Client(std::move(path), std::move(key)));
}

void Client::forget(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  if (--held_[id] == 0) held_.erase(id);
  if (process_ != 0) released_.push_back(id);
}

Descriptor Client::connect() try {
  Descriptor socket = connect_to(path_);
  introduce_to_server(socket.get(), key_, Clock::now() + kHandshakePatience);
  return socket;
} catch (const std::system_error& error) {
  throw ManagerLost("the manager at " + path_ + " cannot be reached: " + error.what());
} catch (const MessageError& error) {
  throw AuthenticationError("what listens at " + path_ + " is no manager: " + error.what());
}

// A connection that is free, or a new one.
Client::Connections::iterator Client::take(Request& request) {
  Hello hello;
  {
    const std::lock_guard lock(mutex_);
    for (auto at = connections_.begin(); at != connections_.end(); ++at) {
      if (at->busy) continue;
      at->busy = true;
      request.released.swap(released_);
      return at;
    }
    if (process_ == 0) {
      const std::string number = random_key();
      std::memcpy(&process_, number.data(), sizeof process_);
      hello.held = held_;
    }
    hello.process = process_;
  }
  try {
    Descriptor socket = connect();
    send_message(socket.get(), encode(hello), Clock::now() + kPatience);
    const std::lock_guard lock(mutex_);
    request.released.swap(released_);
    return connections_.insert(connections_.end(), {std::move(socket), true});
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!hello.held.empty()) process_ = 0;  // the server knows nothing of them yet
    throw;
  }
}

Object Client::call(std::uint64_t object, Method method, Items arguments, Timeout waits) {
  Request request{.object = object, .method = method, .arguments = std::move(arguments), .released = {}};
  std::string bytes = encode(request);
  if (bytes.size() > kRequestLimit)
    throw MessageError("a request may have 16 MiB, not " + std::to_string(bytes.size()) + " bytes");
  const auto connection = take(request);
  Reply reply;
  try {
    if (!request.released.empty()) bytes = encode(request);
    const Deadline deadline = waits ? waits.deadline() + kPatience : Deadline::max();
    send_message(connection->socket.get(), bytes, Clock::now() + kPatience);
    // One wait for all of the answer, which a server sends in one piece: a second one would cost as much as the reading.
    if (!wait_for(connection->socket.get(), POLLIN, deadline))
      throw std::system_error(ETIMEDOUT, std::generic_category(), "no answer");
    const auto answer = receive_message(connection->socket.get(), kRequestLimit);
    if (!answer) throw std::system_error(ECONNRESET, std::generic_category(), "end of file");
    reply = decode<Reply>(*answer);
  } catch (const std::exception& error) {
    {
      const std::lock_guard lock(mutex_);
      connections_.erase(connection);
      if (connections_.empty()) process_ = 0;  // to the server this process has ended
    }
    throw ManagerLost("the manager at " + path_ + " has not answered a " + to_string(method) + ": " + error.what());
  }
  {
    const std::lock_guard lock(mutex_);
    for_each_token(reply.result, [&](Token& token) {
      ++held_[token.id];
      token.keeps = std::make_shared<Reference>(weak_from_this(), token.id);
    });
    connection->busy = false;
  }
  if (reply.error != ErrorType::none) throw_error(reply.error, reply.sentence);
  return std::move(reply.result);
}

Object Client::create(Type type, Items arguments) {
  arguments.insert(arguments.begin(), static_cast<std::int64_t>(type));
  return call(kServer, Method::create, std::move(arguments));
}

std::int64_t Client::number_of_objects() {
  Object number = call(kServer, Method::number_of_objects);
  return as<std::int64_t>(number, "the number of objects");
}

Object Proxy::seconds_of(const Timeout& timeout) {
  if (!timeout) return None{};
  return std::chrono::duration<double>(timeout.deadline() - Clock::now()).count();
}

Proxy::Proxy(std::shared_ptr<Client> client, Object token, Type type)
    : client_(std::move(client)), token_(as<Token>(token, "what should be a proxy")) {
  if (token_.type != type)
    throw TypeError("a proxy of a " + to_string(token_.type) + ", and not of a " + to_string(type));
}

}  // namespace lab::manager
