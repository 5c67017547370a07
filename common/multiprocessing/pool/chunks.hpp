// An input cut into chunks: a chunk is a run of items that travel as one message.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <ranges>
#include <utility>
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

/// Encodes the items of an input (a range, or a function that returns the next item, none at the end) into chunks of
/// `size` items, each of so many arguments that put(encoder, item) encodes. Of each chunk that is full it tells
/// full(bytes, items, refused), which returns whether more is wanted: the chunk is the end of `bytes`, which may be
/// taken; `refused` is the error of an item that cannot be encoded. Throws what the input throws.
template <class Input, class Put, class Full>
void cut(Input& input, std::size_t size, ArgumentCount each, Put put, Full full) {
  Encoder out;
  std::size_t begin = 0, items = 0;  // of the present chunk
  std::exception_ptr refused;
  const auto end_chunk = [&] {
    const std::size_t length = out.bytes.size() - begin;
    if (length > kFrameLimit - (1 << 16))  // the rest of a frame is short
      refused = std::make_exception_ptr(MessageError(
          fmt::format("{} bytes are beyond the limit of {} for the arguments of a chunk", length, kFrameLimit)));
    if (refused) out.bytes.resize(begin);
    const bool more = full(out.bytes, std::exchange(items, 0), std::exchange(refused, nullptr));
    begin = out.bytes.size();
    return more;
  };
  const auto add = [&](const auto& item) {
    if (items == 0) out.put(each);
    if (!refused) {
      try {  // not by attempt(): this is done once an item
        put(out, item);
      } catch (...) {
        refused = std::current_exception();
      }
    }
    return ++items < size || end_chunk();
  };
  if constexpr (std::is_invocable_v<Input&>) {
    while (const auto item = input()) {
      if (!add(*item)) return;
    }
  } else {
    for (auto&& each_item : input) {
      const std::ranges::range_value_t<Input>& item = each_item;  // the item itself, or what its proxy stands for
      if (!add(item)) return;
    }
  }
  if (items > 0) end_chunk();
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
    const auto error = refused.find(number);
    return {std::string_view(arguments).substr(begin, end - begin), first, std::min(size, items - first),
            error == refused.end() ? nullptr : error->second};
  }
};

/// The chunks of a sized range. A size of 0 makes none.
template <class Input, class Put>
Chunks chunks_of(Input&& input, std::size_t size, ArgumentCount each, Put put) {
  Chunks chunks{.items = static_cast<std::size_t>(std::ranges::size(input)), .size = size};
  if (size == 0) return chunks;
  cut(input, size, each, put, [&](std::string& bytes, std::size_t, const std::exception_ptr& refused) {
    if (refused) chunks.refused.emplace(chunks.count(), refused);
    chunks.ends.push_back(bytes.size());
    if (chunks.count() * size >= chunks.items) chunks.arguments = std::move(bytes);  // it was the last
    return true;
  });
  return chunks;
}

}  // namespace lab::pool
