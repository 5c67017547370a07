#include "task.hpp"

#include <cxxabi.h>
#include <fmt/format.h>

#include <map>
#include <memory>
#include <mutex>
#include <typeindex>

namespace lab::pool {
namespace {

// Threads look up while others may still register: a worker thread of one pool, a test that registers for the next.
struct Book {
  std::mutex mutex;
  std::map<std::string, Thunk> thunks;
  std::map<std::string, std::pair<std::type_index, Reviver>> errors;
};
Book& book() {
  static Book& one = *new Book;  // never destroyed: a worker thread may outlive the statics
  return one;
}

const bool known =
    register_error<std::runtime_error>("runtime_error") && register_error<std::logic_error>("logic_error") &&
    register_error<std::invalid_argument>("invalid_argument") && register_error<std::out_of_range>("out_of_range") &&
    register_error<std::domain_error>("domain_error") && register_error<std::length_error>("length_error") &&
    register_error<std::range_error>("range_error") && register_error<std::overflow_error>("overflow_error") &&
    register_error<MessageError>("MessageError") && register_error<MaybeEncodingError>("MaybeEncodingError") &&
    register_error<TaskError>("TaskError");

std::string readable(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 ? name.get() : type.name();
}

}  // namespace

void add_thunk(const std::string& name, Thunk thunk) {
  const std::lock_guard lock(book().mutex);
  const auto [entry, fresh] = book().thunks.emplace(name, thunk);
  if (!fresh && entry->second.function != thunk.function)
    throw std::invalid_argument(fmt::format("there is another task of the name \"{}\"", name));
}

const Thunk& thunk_named(const std::string& name) {
  const std::lock_guard lock(book().mutex);
  const auto found = book().thunks.find(name);  // its address stays: entries of a map do not move
  if (found != book().thunks.end()) return found->second;
  std::string names;
  for (const auto& [other, thunk] : book().thunks) names += (names.empty() ? "" : ", ") + other;
  throw std::invalid_argument(fmt::format("no task is registered under the name \"{}\"; known are: {}", name, names));
}

void add_error(const std::type_info& type, const std::string& name, Reviver reviver) {
  const std::lock_guard lock(book().mutex);
  const auto [entry, fresh] = book().errors.emplace(name, std::pair(std::type_index(type), std::move(reviver)));
  if (!fresh && entry->second.first != type)
    throw std::invalid_argument(fmt::format("there is another type of error of the name \"{}\"", name));
}

std::string encode_error(const std::exception& error, const std::string& traceback) {
  const std::lock_guard lock(book().mutex);
  for (const auto& [name, known] : book().errors) {
    if (known.first == typeid(error)) return encode(name, error.what(), traceback);
  }
  return encode("TaskError", readable(typeid(error)) + ": " + error.what(), traceback);
}

std::exception_ptr decode_error(std::string_view bytes) {
  Decoder in(bytes);
  const auto name = in.get<std::string>(), text = in.get<std::string>(), traceback = in.get<std::string>();
  in.finish();
  Reviver reviver;
  {
    const std::lock_guard lock(book().mutex);
    const auto found = book().errors.find(name);
    if (found == book().errors.end()) throw MessageError("message holds an error of the unknown type " + name);
    reviver = found->second.second;
  }
  return reviver(text, traceback);
}

std::string sentence_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something that is no std::exception";
  }
}

}  // namespace lab::pool
