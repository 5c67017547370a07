// The input of an imap, read by a thread of its own while results are already taken.
#pragma once

#include <functional>
#include <ranges>

#include "chunks.hpp"
#include "stream.hpp"

namespace lab::pool {

/// Reads items, each from next() and none at the end, to the end, or until nobody wants more. At most `ahead` chunks
/// are read that nobody has taken. give(chunk, refused) is told of each; `refused` is the error of an item that cannot
/// be encoded. An error of the input takes the place of the chunk it was to be part of. True when that completes the
/// job.
template <class R, class Next, class Give>
bool read_items(Stream<R>& stream, std::size_t ahead, Next next, Give give) {
  std::exception_ptr broken;
  for (bool more = true; more && !broken;) {
    Encoder arguments;
    arguments.put(ArgumentCount{1});
    std::exception_ptr refused;
    std::size_t items = 0;
    broken = attempt([&] {
      for (; items < stream.size(); ++items) {
        const auto item = next();
        if (!(more = item.has_value())) break;
        if (!refused) refused = attempt([&] { arguments.put(*item); });
      }
    });
    if (broken || items == 0) break;
    if (!refused) refused = attempt([&] { check_fits(arguments.bytes.size()); });
    const auto chunk = stream.add(std::move(arguments.bytes), items, ahead);
    if (!chunk && stream.stopped()) return false;
    if (!chunk) break;  // nobody will take what is read from here on
    give(*chunk, refused);
  }
  return stream.end(broken);
}

/// The same for an input that is such a function, or a range.
template <class R, class Input, class Give>
bool read_input(Stream<R>& stream, std::size_t ahead, Input& input, Give give) {
  if constexpr (std::is_invocable_v<Input&>) {
    return read_items(stream, ahead, std::ref(input), give);
  } else {
    using Item = std::optional<std::ranges::range_value_t<Input>>;
    std::optional<std::ranges::iterator_t<Input>> at;
    return read_items(
        stream, ahead,
        [&] {  // begin() is the input's code as much as ++ is, and may throw
          if (at) {
            ++*at;
          } else {
            at = std::ranges::begin(input);
          }
          return *at == std::ranges::end(input) ? Item() : Item(**at);
        },
        give);
  }
}

}  // namespace lab::pool
