// Who waits for a lock and who holds it, and when: what the locks of this lab write down for the drawing.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lab::gil {

/// A number for the calling thread: from 1 on, never used again in this process (a thread's address or id is, after its
/// end).
inline int this_thread() {
  static std::atomic<int> next{1};
  thread_local const int number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

enum class Moment { waits, takes, drops };

/// A period in a thread's life: "waits" or "holds". Times in nanoseconds on the monotonic clock.
struct Span {
  int thread = 0;  ///< as this_thread() numbers it
  std::string name;
  std::int64_t begin = 0, end = 0;
};

/// A bounded record that many threads write without waiting for each other. Given to a lock when it is made.
class Timeline {
 public:
  explicit Timeline(std::size_t capacity = 100'000) : notes_(capacity) {}

  /// Notes a moment of the calling thread. What exceeds the capacity is left out.
  void note(Moment moment) {
    const auto slot = used_.fetch_add(1, std::memory_order_relaxed);
    if (slot >= notes_.size()) return;
    const std::chrono::nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
    notes_[slot] = {this_thread(), moment, now.count()};
  }

  /// The finished periods, in order of their begin. Call it when the threads that wrote have been joined.
  std::vector<Span> spans() const {
    std::vector<Span> spans;
    std::vector<const Note*> open;  // by thread: the moment whose period has not ended yet
    for (std::size_t i = 0; i < std::min(used_.load(), notes_.size()); ++i) {
      const Note& note = notes_[i];
      if (open.size() <= static_cast<std::size_t>(note.thread)) open.resize(note.thread + 1, nullptr);
      const Note*& begun = open[note.thread];
      if (begun != nullptr) {
        spans.push_back({note.thread, begun->moment == Moment::waits ? "waits" : "holds", begun->time, note.time});
      }
      begun = note.moment == Moment::drops ? nullptr : &note;
    }
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    return spans;
  }

 private:
  struct Note {
    int thread = 0;
    Moment moment = Moment::drops;
    std::int64_t time = 0;
  };
  std::vector<Note> notes_;
  std::atomic<std::size_t> used_{0};
};

}  // namespace lab::gil
