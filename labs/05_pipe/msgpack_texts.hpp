// MessagePack as a message, where its library was found at configure time: beside the codec and JSON.
#pragma once
#ifdef LAB_MSGPACK

#include <map>
#include <msgpack.hpp>
#include <string>
#include <string_view>

namespace lab::pipe {

inline std::string to_msgpack(const std::map<std::string, std::string>& texts) {
  msgpack::sbuffer out;
  msgpack::pack(out, texts);
  return {out.data(), out.size()};
}

/// Throws msgpack::unpack_error or msgpack::type_error for what is no such map.
inline std::map<std::string, std::string> from_msgpack(std::string_view bytes) {
  return msgpack::unpack(bytes.data(), bytes.size())->as<std::map<std::string, std::string>>();
}

}  // namespace lab::pipe

#endif
