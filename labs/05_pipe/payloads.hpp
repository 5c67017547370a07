// What is sent: things of about 32 KiB once they are encoded, from plain to rich, and the formats others would use.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "common/os/codec.hpp"

namespace lab::pipe {

using Texts = std::map<std::string, std::string>;

/// A struct as the codec takes it: by the names of its members.
struct Reading {
  std::int64_t when = 0;
  double value = 0;
  bool valid = false;
  auto members() { return std::tie(when, value, valid); }
  bool operator==(const Reading&) const = default;
};

inline std::vector<Reading> readings() {
  std::vector<Reading> all;
  for (int i = 0; i < 1500; ++i) all.push_back({i, 0.5 * i, i % 3 == 0});
  return all;
}

inline std::vector<double> numbers() {
  std::vector<double> all;
  for (int i = 0; i < 4096; ++i) all.push_back(0.5 * i);
  return all;
}

/// What Python calls a dict of str: 500 entries.
inline Texts texts() {
  Texts all;
  for (int i = 0; i < 500; ++i) all[fmt::format("item {:04}", i)] = fmt::format("value {:040}", i * 7919);
  return all;
}

/// The same dictionary in two formats that other languages read. Reading throws nlohmann::json::exception for anything
/// else.
inline std::string to_json(const Texts& all) { return nlohmann::json(all).dump(); }
inline Texts from_json(std::string_view text) { return nlohmann::json::parse(text).get<Texts>(); }
inline std::string to_msgpack(const Texts& all) {
  std::string bytes;
  nlohmann::json::to_msgpack(nlohmann::json(all), bytes);
  return bytes;
}
inline Texts from_msgpack(std::string_view bytes) { return nlohmann::json::from_msgpack(bytes).get<Texts>(); }

/// Their lengths, as bytes to send.
inline std::string payload_table() {
  return fmt::format(
      "1,500 structs by the codec: {:>6} bytes\n4,096 doubles by the codec: {:>6} bytes\n"
      "500 strings by the codec:   {:>6} bytes\n500 strings as JSON:        {:>6} bytes\n"
      "500 strings as MessagePack: {:>6} bytes",
      encode(readings()).size(), encode(numbers()).size(), encode(texts()).size(), to_json(texts()).size(),
      to_msgpack(texts()).size());
}

}  // namespace lab::pipe
