// Bytes to values: what Python calls unpickling. Whatever arrives is hostile until it has been checked: a length is
// compared with what is really there before anything is allocated.
#pragma once

#include "common/os/encoder.hpp"

namespace lab {

/// Takes the values off again, in the same order and of the same types. Every get throws MessageError rather than read
/// past the end, accept another type or allocate more than a small multiple of the bytes that are there. An enum may
/// come out with a value that has no name: whoever uses it checks.
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

  /// What has not been taken off yet.
  std::string_view rest() const { return rest_; }

  template <Scalar T>
  void get(T& value) {
    expect(Encoder::tag<T>());
    const std::string_view raw = take(sizeof value);
    if constexpr (std::is_same_v<T, bool>) {  // another byte would be undefined behaviour later
      if (static_cast<unsigned char>(raw[0]) > 1) throw MessageError("message holds a truth value that is neither");
    }
    std::memcpy(&value, raw.data(), sizeof value);
  }
  [[gnu::hot]] void get(std::string& text) {
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
      items.clear();
      for (std::size_t n = length(1); n > 0; --n) items.push_back(get<T>());  // grows as elements prove to be there
    }
  }
  template <class K, class V>
  void get(std::map<K, V>& items) {
    expect('m');
    items.clear();
    for (std::size_t n = length(2); n > 0; --n) {
      K key = get<K>();
      // In order, as they were put: a key that comes twice is refused, and so is a NaN among others.
      if (!items.empty() && !(items.rbegin()->first < key)) throw MessageError("message holds keys out of order");
      items.emplace_hint(items.end(), std::move(key), get<V>());
    }
  }
  template <class T>
  void get(std::optional<T>& value) {
    value.reset();
    if (!rest_.empty() && rest_[0] == 'n') {
      rest_.remove_prefix(1);
    } else {
      expect('o');
      value = get<T>();
    }
  }
  template <class... T>
  void get(std::tuple<T...>& values) {
    expect('t');
    expect(static_cast<char>(sizeof...(T)));
    std::apply([&](auto&... value) { (get(value), ...); }, values);
  }
  template <class... T>
  void get(std::variant<T...>& value) {
    expect('x');
    descend();
    const auto index = static_cast<std::size_t>(take(1)[0]);
    std::size_t at = 0;
    if (!((at++ == index && (get(value.template emplace<T>()), true)) || ...))
      throw MessageError("message holds none of the types that were asked for");
    --depth_;
  }
  template <Composite T>
  void get(T& value) {
    descend();
    auto members = value.members();  // references, so the members themselves are filled
    get(members);
    --depth_;
  }

 private:
  // What holds its like (a tree) nests as deep as the bytes say, and the stack is not as deep as that.
  void descend() {
    if (++depth_ > 64) throw MessageError("message is nested too deep");
  }
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
  int depth_ = 0;
};

}  // namespace lab
