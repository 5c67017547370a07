// An input cut into chunks: a chunk is a run of items that travel as one message.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>
#include <ranges>
#include <vector>

#include "frames.hpp"
#include "job.hpp"
#include "task.hpp"

namespace lab::pool {

/// Items a chunk when the caller does not say: four chunks a worker, so that a slow one is made up for by the others.
inline std::size_t default_chunk_size(std::size_t items, int workers) {
  const std::size_t share = 4 * static_cast<std::size_t>(workers);
  return (items + share - 1) / share;
}

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

struct Chunks {
  std::size_t items = 0, size = 0;                    ///< in all, and in a chunk
  std::string arguments;                              ///< encoded, of all items
  std::vector<std::size_t> ends;                      ///< of each chunk's arguments
  std::map<std::size_t, std::exception_ptr> refused;  ///< chunks with an item that cannot be encoded

  std::size_t count() const { return ends.size(); }
  /// Throws std::out_of_range for one there is not.
  Job::Chunk chunk(std::size_t number) const {
    const std::size_t end = ends.at(number), begin = number == 0 ? 0 : ends[number - 1], first = number * size;
    return {std::string_view(arguments).substr(begin, end - begin), first, std::min(size, items - first)};
  }
};

/// Cuts a sized range into chunks of `size` items, each of so many arguments that put(encoder, item) encodes. A size of
/// 0 makes no chunks.
template <class Input, class Put>
Chunks cut(Input&& input, std::size_t size, ArgumentCount each, Put put) {
  Chunks chunks{.items = static_cast<std::size_t>(std::ranges::size(input)), .size = size};
  Encoder out;
  auto item = std::ranges::begin(input);
  for (std::size_t begin = 0; size > 0 && begin < chunks.items; begin += size) {
    const std::size_t end = std::min(begin + size, chunks.items), before = out.bytes.size();
    std::size_t encoded = begin;
    if (const auto error = attempt([&] {
          out.put(each);
          for (; encoded < end; ++encoded, ++item) {
            const std::ranges::range_value_t<Input>& value = *item;  // the item itself, or what its proxy stands for
            put(out, value);
          }
          check_fits(out.bytes.size() - before);
        })) {
      chunks.refused.emplace(chunks.count(), error);
      out.bytes.resize(before);
      for (; encoded < end; ++encoded) ++item;
    }
    chunks.ends.push_back(out.bytes.size());
  }
  chunks.arguments = std::move(out.bytes);
  return chunks;
}

}  // namespace lab::pool
