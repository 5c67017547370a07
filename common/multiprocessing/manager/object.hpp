// What a manager's objects hold and its messages carry: a closed list of types.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "common/os/codec.hpp"

namespace lab::manager {

struct Object;
using None = std::tuple<>;
using Items = std::vector<Object>;              ///< a plain list: a copy, wherever it goes
using Entries = std::map<std::string, Object>;  ///< a plain dict, likewise

/// The types of the objects that live in a server.
enum class Type : std::uint8_t { value, name_space, list, dict, lock, queue };
std::string to_string(Type type);  ///< "Value"; of a number that is none, "type 9"

/// A proxy on its way: not the object, but which one it is. Whoever holds a token keeps the object alive, in whichever
/// process: `keeps` counts references there.
struct Token {
  std::uint64_t id = 0;
  Type type = Type::value;
  std::shared_ptr<const void> keeps;
  Token() = default;
  Token(std::uint64_t of_id, Type of_type, std::shared_ptr<const void> kept = nullptr)
      : id(of_id), type(of_type), keeps(std::move(kept)) {}
  auto members() { return std::tie(id, type); }
  bool operator==(const Token& other) const { return id == other.id; }
};

/// One value of any of these types.
struct Object : std::variant<None, bool, std::int64_t, double, std::string, Items, Entries, Token> {
  using variant::variant;
};

/// What went wrong in the server, as its client is told.
enum class ErrorType : std::uint8_t { none, remote, key, index, attribute, type, value, holder_died, empty, full };

/// An error that came from the server, or would have. Those below have a type of their own, as in Python; the rest are
/// plain RemoteErrors.
struct RemoteError : std::runtime_error {
  explicit RemoteError(const std::string& sentence, ErrorType of_type = ErrorType::remote)
      : std::runtime_error(sentence), type(of_type) {}
  ErrorType type;
};
template <ErrorType own_type>
struct ErrorOf : RemoteError {
  explicit ErrorOf(const std::string& sentence) : RemoteError(sentence, own_type) {}
};
using KeyError = ErrorOf<ErrorType::key>;
using IndexError = ErrorOf<ErrorType::index>;
using AttributeError = ErrorOf<ErrorType::attribute>;
using TypeError = ErrorOf<ErrorType::type>;
using ValueError = ErrorOf<ErrorType::value>;
/// The lock is free again, but a process ended while it held it: what it guards may be half done.
using HolderDied = ErrorOf<ErrorType::holder_died>;

/// Throws the error of that type; queue::Empty and queue::Full for the last two.
[[noreturn]] void throw_error(ErrorType type, const std::string& sentence);

/// Its content, if it is a T (one of Object's types). Throws TypeError, whose sentence begins with `what`.
template <class T>
T& as(Object& object, const std::string& what) {
  if (T* held = std::get_if<T>(&object)) return *held;
  constexpr const char* names[] = {"None",   "a truth value", "a whole number", "a number",
                                   "a text", "a list",        "a dict",         "a proxy"};
  throw TypeError(what + " is " + names[object.index()] + ", and not " + names[Object(T{}).index()]);
}

/// Calls visit(token) for each token in an object, however deep in plain lists and dicts.
template <class Visit>
void for_each_token(Object& object, const Visit& visit) {
  if (auto* token = std::get_if<Token>(&object)) visit(*token);
  if (auto* items = std::get_if<Items>(&object)) {
    for (Object& item : *items) for_each_token(item, visit);
  }
  if (auto* entries = std::get_if<Entries>(&object)) {
    for (auto& [key, entry] : *entries) for_each_token(entry, visit);
  }
}

// ---- messages, after the handshake ----------------------------------------------------------------------------------

/// What may be asked of an object; of `server` itself the first two.
enum class Method : std::uint8_t {
  create,
  number_of_objects,
  get,
  set,
  remove,
  contains,
  size,
  copy,
  clear,
  append,
  insert,
  pop,
  keys,
  acquire,
  release,
  locked,
  put
};
std::string to_string(Method method);  ///< "get"; of a number that is none, "method 99"

inline constexpr std::uint64_t kServer = 0;              ///< the id of the server itself
inline constexpr std::size_t kRequestLimit = 16u << 20;  ///< bytes of a request or reply

/// First on each connection: whose it is. All connections of a process have the same number, drawn at random.
struct Hello {
  std::uint64_t process = 0;
  std::map<std::uint64_t, std::uint64_t> held;  ///< references it has already, after a fork: object and how many
  auto members() { return std::tie(process, held); }
};
struct Request {
  std::uint64_t object = kServer;
  Method method{};
  Items arguments;
  std::vector<std::uint64_t> released;  ///< references the process has let go of since its last request
  auto members() { return std::tie(object, method, arguments, released); }
};
struct Reply {
  ErrorType error = ErrorType::none;
  std::string sentence;  ///< of an error
  Object result;
  auto members() { return std::tie(error, sentence, result); }
};

}  // namespace lab::manager
