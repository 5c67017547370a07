// How long does a pool take, as a function of how its input is cut? Three numbers are enough, and each can be measured
// without the others: the time of the whole job in one chunk, and what a chunk costs that has nothing to do, once in an
// unbroken stream of such chunks and once between long pauses.
#pragma once

#include <cstddef>

namespace lab::chunks {

/// a / b, rounded up.
constexpr std::size_t rounded_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// The size at which so many items make so many chunks. Rounded up: rounded down, as in the book, the items left over
/// would make one more. Many chunks of few items can still be fewer than asked for, never more.
constexpr std::size_t size_of(std::size_t items, std::size_t chunks) { return rounded_up(items, chunks); }

struct Model {
  double work = 0;      ///< seconds of the whole job in one chunk
  double streamed = 0;  ///< seconds a chunk adds when the next is already there: nobody sleeps, nobody is woken
  double woken = 0;     ///< seconds a chunk adds when its worker computes for long: the pool slept, and is woken
  std::size_t workers = 1;

  /// The busiest worker's share of the work. Equal chunks are done in turns, and a turn takes as long with one busy
  /// worker as with all of them: 1/workers when the chunks come out even, more when the last turn has idle workers.
  /// Against the number of chunks this is a sawtooth.
  constexpr double busiest_share(std::size_t chunks) const {
    return static_cast<double>(rounded_up(chunks, workers)) / static_cast<double>(chunks);
  }

  /// What a chunk adds. Replies that come while the pool is awake cost no wake-up of their own, so one wake-up is shared
  /// by 1 + woken / spacing replies, where spacing is the time from one worker's reply to the next one's.
  constexpr double dispatch(std::size_t chunks) const {
    const double spacing = work / static_cast<double>(chunks * workers);
    return streamed + (woken - streamed) * spacing / (spacing + woken);
  }

  /// Seconds of the whole job in so many equal chunks. With few chunks the first term decides, with many the second.
  constexpr double seconds(std::size_t chunks) const {
    return work * busiest_share(chunks) + dispatch(chunks) * static_cast<double>(chunks);
  }
};

}  // namespace lab::chunks
