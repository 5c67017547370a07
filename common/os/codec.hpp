// Several values as one message, and back.
#pragma once

#include "common/os/decoder.hpp"
#include "common/os/encoder.hpp"

namespace lab {

/// The values one after another; decode takes them off again, or a Decoder does one by one.
template <class... T>
std::string encode(const T&... values) {
  Encoder encoder;
  (encoder.put(values), ...);
  return std::move(encoder.bytes);
}
template <class T>
[[gnu::hot]] T decode(std::string_view bytes) {
  Decoder decoder(bytes);
  T value = decoder.get<T>();
  decoder.finish();
  return value;
}

}  // namespace lab
