// What is sent: four things of about 32 KiB once they are encoded, from plain to rich.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "common/os/codec.hpp"
#include "json.hpp"

namespace lab::pipe {

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
inline std::map<std::string, std::string> texts() {
  std::map<std::string, std::string> all;
  for (int i = 0; i < 500; ++i) all[fmt::format("item {:04}", i)] = fmt::format("value {:040}", i * 7919);
  return all;
}

/// Their lengths, as bytes to send.
inline std::string payload_table() {
  return fmt::format(
      "1,500 structs by the codec: {:>6} bytes\n4,096 doubles by the codec: {:>6} bytes\n"
      "500 strings by the codec:   {:>6} bytes\n500 strings as JSON:        {:>6} bytes",
      encode(readings()).size(), encode(numbers()).size(), encode(texts()).size(), to_json(texts()).size());
}

}  // namespace lab::pipe
