// A task: a function, known to parent and worker by the same name, and its arguments. Code cannot travel through a
// pipe; a name can, which is what Python's pickle does with a function too.
#pragma once

#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>

#include "common/os/codec.hpp"

namespace lab::pool {

/// What a task without a result returns, and what a pool makes of `void`: a tuple of nothing.
using None = std::tuple<>;

/// How many arguments each item of a chunk has: the first thing in a chunk's arguments, so that no task is run with its
/// neighbour's.
using ArgumentCount = std::uint8_t;

/// What is left of a task's types on the wire.
struct Thunk {
  void (*function)() = nullptr;  ///< to tell it from another of the same name
  ArgumentCount arguments = 0;
  /// Takes the arguments off the decoder, calls the function and puts its result.
  std::function<void(Decoder&, Encoder&)> run;
};

/// The result of a task could not be encoded; the sentence holds the reason and what task it was.
struct MaybeEncodingError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// A task failed with a type of error that is registered with nobody; the sentence begins with the type's name.
struct TaskError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Where a task's error came from: nested in the error that is thrown again in the parent (std::rethrow_if_nested).
struct RemoteTraceback : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws std::invalid_argument for a name that another function has.
void add_thunk(const std::string& name, Thunk thunk);
/// Throws std::invalid_argument, naming what is known, for a name nobody registered.
const Thunk& thunk_named(const std::string& name);

/// Registers a function under a name, for example while statics are initialised:
///   const bool known = register_task("square", square);     // a lambda without captures: +[](int x) { ... }
/// Parent and workers must both know it: register before the nursery is forked. Arguments and result are what the codec
/// takes. Throws std::invalid_argument for a name that another function has.
template <class R, class... Args>
bool register_task(const std::string& name, R (*function)(Args...)) {
  static_assert(sizeof...(Args) < 256);
  const auto run = [name, function](Decoder& in, Encoder& out) {
    std::tuple<std::decay_t<Args>...> args;
    try {
      std::apply([&](auto&... arg) { (in.get(arg), ...); }, args);
    } catch (const MessageError& error) {
      throw MessageError("the arguments are not those of task " + name + ": " + error.what());
    }
    if constexpr (std::is_void_v<R>) {
      std::apply([&](auto&... arg) { function(static_cast<Args&&>(arg)...); }, args);
      out.put(None{});
    } else {
      const R result = std::apply([&](auto&... arg) { return function(static_cast<Args&&>(arg)...); }, args);
      try {
        out.put(result);
      } catch (const std::exception& error) {
        throw MaybeEncodingError(std::string("the result cannot be encoded: ") + error.what());
      }
    }
  };
  add_thunk(name, {reinterpret_cast<void (*)()>(function), sizeof...(Args), run});
  return true;
}

using Reviver = std::function<std::exception_ptr(const std::string& text, const std::string& traceback)>;
void add_error(const std::type_info& type, const std::string& name, Reviver reviver);

/// Lets errors of type E (made from a string, its what()) keep their type on the way to the parent. The usual ones of
/// <stdexcept> are registered. Throws std::invalid_argument for a name that another type has.
template <class E>
bool register_error(const std::string& name) {
  add_error(typeid(E), name, [](const std::string& text, const std::string& traceback) {
    E error(text);  // what this throws means: the error cannot be decoded
    try {
      try {
        throw RemoteTraceback(traceback);
      } catch (const RemoteTraceback&) {
        std::throw_with_nested(std::move(error));
      }
    } catch (...) {
      return std::current_exception();
    }
  });
  return true;
}

/// An error as bytes: type, sentence, where it came from.
std::string encode_error(const std::exception& error, const std::string& traceback);
/// The error again, of its own type. Throws what its constructor throws, MessageError for bytes that are no error.
std::exception_ptr decode_error(std::string_view bytes);

/// The sentence of any error.
std::string sentence_of(const std::exception_ptr& error);
/// What `body` throws; null when it throws nothing.
template <class Body>
std::exception_ptr attempt(Body body) {
  try {
    body();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace lab::pool
