#include "common/multiprocessing/manager/object.hpp"

#include <iterator>

#include "common/multiprocessing/queue/queue.hpp"

namespace lab::manager {

std::string to_string(Type type) {
  constexpr const char* names[] = {"Value", "Namespace", "list", "dict", "Lock", "Queue"};
  const auto number = static_cast<std::size_t>(type);
  return number < std::size(names) ? names[number] : "type " + std::to_string(number);
}

std::string to_string(Method method) {
  constexpr const char* names[] = {"create",  "number_of_objects",
                                   "get",     "set",
                                   "remove",  "contains",
                                   "size",    "copy",
                                   "clear",   "append",
                                   "insert",  "pop",
                                   "keys",    "acquire",
                                   "release", "locked",
                                   "put"};
  const auto number = static_cast<std::size_t>(method);
  return number < std::size(names) ? names[number] : "method " + std::to_string(number);
}

void throw_error(ErrorType type, const std::string& sentence) {
  switch (type) {
    case ErrorType::key:
      throw KeyError(sentence);
    case ErrorType::index:
      throw IndexError(sentence);
    case ErrorType::attribute:
      throw AttributeError(sentence);
    case ErrorType::type:
      throw TypeError(sentence);
    case ErrorType::value:
      throw ValueError(sentence);
    case ErrorType::holder_died:
      throw HolderDied(sentence);
    case ErrorType::empty:
      throw queue::Empty(sentence);
    case ErrorType::full:
      throw queue::Full(sentence);
    case ErrorType::none:
    case ErrorType::remote:
      break;
  }
  throw RemoteError(sentence);  // also for a number that is no type
}

}  // namespace lab::manager
