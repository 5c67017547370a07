// Values to bytes: what Python calls pickling.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

namespace lab {

/// A message cannot be sent, or what arrived is not what was expected: too long, cut short, of another type. The
/// sentence says which.
struct MessageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A number, truth value or enum of at most 8 bytes.
template <class T>
concept Scalar = (std::is_arithmetic_v<T> || std::is_enum_v<T>)&&sizeof(T) <= 8;

/// A struct takes part by naming its members: `auto members() { return std::tie(x, y); }`.
template <class T>
concept Composite = requires(T& t) {
  t.members();
};

/// Appends values to `bytes`: a one-byte tag, then the value in this machine's byte order. Both ends run on one
/// machine.
class Encoder {
 public:
  std::string bytes;

  template <Scalar T>
  void put(T value) {
    bytes.push_back(tag<T>());
    raw(&value, sizeof value);
  }
  void put(std::string_view text) {
    bytes.push_back('s');
    length(text.size());
    bytes.append(text);
  }
  void put(const std::string& text) { put(std::string_view(text)); }
  void put(const char* text) { put(std::string_view(text)); }
  template <class T>
  void put(const std::vector<T>& items) {
    bytes.push_back('v');
    length(items.size());
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {  // one block, not one tag an element
      bytes.push_back(tag<T>());
      raw(items.data(), items.size() * sizeof(T));
    } else {
      for (const T& item : items) put(item);
    }
  }
  template <class K, class V>
  void put(const std::map<K, V>& items) {
    bytes.push_back('m');
    length(items.size());
    for (const auto& [key, value] : items) {
      put(key);
      put(value);
    }
  }
  template <class T>
  void put(const std::optional<T>& value) {
    bytes.push_back(value ? 'o' : 'n');
    if (value) put(*value);
  }
  template <class... T>
  void put(const std::tuple<T...>& values) {
    bytes.push_back('t');
    bytes.push_back(static_cast<char>(sizeof...(T)));
    std::apply([&](const auto&... value) { (put(value), ...); }, values);
  }
  template <class... T>
  void put(const std::variant<T...>& value) {
    bytes.push_back('x');
    bytes.push_back(static_cast<char>(value.index()));
    std::visit([&](const auto& held) { put(held); }, value);
  }
  template <Composite T>
  void put(const T& value) {
    put(const_cast<T&>(value).members());  // one members() serves both ways: here it is only read
  }

  /// The tag of a scalar: its kind in the high bits, its size in the low ones.
  template <Scalar T>
  static constexpr char tag() {
    const int kind = std::is_enum_v<T>             ? 0x50
                     : std::is_same_v<T, bool>     ? 0x40
                     : std::is_floating_point_v<T> ? 0x30
                     : std::is_signed_v<T>         ? 0x20
                                                   : 0x10;
    return static_cast<char>(kind | static_cast<int>(sizeof(T)));
  }

 private:
  void raw(const void* data, std::size_t n) { bytes.append(static_cast<const char*>(data), n); }
  void length(std::size_t n) {
    if (n > UINT32_MAX) throw MessageError("a message cannot hold a string or list of more than 4294967295 elements");
    const auto value = static_cast<std::uint32_t>(n);
    raw(&value, sizeof value);
  }
};

}  // namespace lab
