// Values to bytes and back: what Python calls pickle. Whatever arrives is hostile until it has been checked: a length is
// compared with what is really there before anything is allocated.
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
#include <vector>

namespace lab {

/// What arrived is not what was expected: too long, cut short, of another type. The sentence says which.
struct MessageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A struct takes part by naming its members: `auto members() { return std::tie(x, y); }` (and a const one).
template <class T>
concept Composite = requires(T& t) { t.members(); };

/// Appends values to `bytes`: a one-byte tag, then the value in this machine's byte order. Both ends run on one machine.
class Encoder {
 public:
  std::string bytes;

  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
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
    std::apply([this](const auto&... value) { (put(value), ...); }, values);
  }
  template <Composite T>
  void put(const T& value) {
    put(std::tuple(const_cast<T&>(value).members()));
  }

  /// The tag of a number: its kind in the high bits, its size in the low ones.
  template <class T>
  static constexpr char tag() {
    const int kind = std::is_same_v<T, bool> ? 0x40 : std::is_floating_point_v<T> ? 0x30 : std::is_signed_v<T> ? 0x20 : 0x10;
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

/// Takes the values off again, in the same order and of the same types. Every get throws MessageError rather than read past
/// the end, accept another type or allocate more than a small multiple of the bytes that are there.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  T get() {
    T value{};
    get(value);
    return value;
  }
  /// Refuses what is left over: a message holds just the values it was asked for.
  void finish() const {
    if (!rest_.empty()) throw MessageError("message has " + std::to_string(rest_.size()) + " bytes too many");
  }

  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void get(T& value) {
    expect(Encoder::tag<T>());
    const std::string_view raw = take(sizeof value);
    if constexpr (std::is_same_v<T, bool>) {
      if (static_cast<unsigned char>(raw[0]) > 1) throw MessageError("message holds a truth value that is neither");
    }
    std::memcpy(&value, raw.data(), sizeof value);
  }
  void get(std::string& text) {
    expect('s');
    text = take(length(1));
  }
  template <class T>
  void get(std::vector<T>& items) {
    expect('v');
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
      const std::size_t n = length(sizeof(T));
      expect(Encoder::tag<T>());
      const std::string_view raw = take(n * sizeof(T));
      items.resize(n);
      if (n > 0) std::memcpy(items.data(), raw.data(), raw.size());
    } else {
      const std::size_t n = length(1);
      items.clear();
      for (std::size_t i = 0; i < n; ++i) items.push_back(get<T>());  // grows as elements prove to be there
    }
  }
  template <class K, class V>
  void get(std::map<K, V>& items) {
    expect('m');
    items.clear();
    for (std::size_t n = length(2); n > 0; --n) {
      K key = get<K>();
      items.insert_or_assign(std::move(key), get<V>());
    }
  }
  template <class T>
  void get(std::optional<T>& value) {
    const char tag = take(1)[0];
    if (tag != 'o' && tag != 'n') throw MessageError("message holds another type than was asked for");
    value = tag == 'o' ? std::optional<T>(get<T>()) : std::nullopt;
  }
  template <class... T>
  void get(std::tuple<T...>& values) {
    expect('t');
    expect(static_cast<char>(sizeof...(T)));
    std::apply([this](auto&... value) { (get(value), ...); }, values);
  }
  template <Composite T>
  void get(T& value) {
    auto members = value.members();  // references, so the members themselves are filled
    get(members);
  }

 private:
  void expect(char tag) {
    if (take(1)[0] != tag) throw MessageError("message holds another type than was asked for");
  }
  std::string_view take(std::size_t n) {
    if (n > rest_.size()) throw MessageError("message is cut short");
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }
  std::size_t length(std::size_t least_bytes_each) {
    std::uint32_t n = 0;
    std::memcpy(&n, take(sizeof n).data(), sizeof n);
    if (n > rest_.size() / least_bytes_each) throw MessageError("message claims more elements than it has bytes");
    return n;
  }
  std::string_view rest_;
};

/// Several values as one message, and back.
template <class... T>
std::string encode(const T&... values) {
  Encoder encoder;
  (encoder.put(values), ...);
  return std::move(encoder.bytes);
}
template <class T>
T decode(std::string_view bytes) {
  Decoder decoder(bytes);
  T value = decoder.get<T>();
  decoder.finish();
  return value;
}

}  // namespace lab
