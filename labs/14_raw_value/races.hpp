// What may be done to shared memory without a lock, and what may not: raising a flag, counting.
#pragma once

#include <cstdint>
#include <mutex>

#include "common/os/team.hpp"
#include "labs/12_verify_pool/experiment.hpp"
#include "raw_value.hpp"

namespace lab::sharedctypes {

/// `workers` processes run add(counter) `each` times, all at once; returns what the counter then holds.
template <class Counter, class Add>
std::uint64_t count_together(int workers, std::uint64_t each, Counter& counter, const Add& add) {
  const Shared<verify::Meeting> meeting;  // they spin until all are there: woken one by one, the first would be done too soon
  run_team({.size = workers}, [&](int) {
    meeting->pass(static_cast<std::uint32_t>(workers), [] {});
    for (std::uint64_t i = 0; i < each; ++i) add(counter);
    return 0;
  });
  return counter.get();
}

inline const auto plainly = [](auto& counter) { counter.add(1); };
/// with v.get_lock(): v.value += 1
inline const auto under_its_lock = [](auto& counter) {
  const std::lock_guard holding(counter.get_lock());
  counter.add(1);
};

/// `workers` processes raise the same flag in `rounds` rounds, all at once; returns how many of them then saw it raised.
template <class Flag>
std::uint64_t raise_together(int workers, std::uint64_t rounds, Flag& flag) {
  const Shared<verify::Meeting> meeting;
  std::uint64_t seen = 0;
  const auto size = static_cast<std::uint32_t>(workers);
  for (const Report& report : run_team({.size = workers}, [&](int) {
         std::uint64_t mine = 0;
         for (std::uint64_t i = 0; i < rounds; ++i) {
           meeting->pass(size, [&] { flag.clear(); });
           flag.raise();
           meeting->pass(size, [] {});
           mine += flag.raised();
         }
         return mine;
       })) {
    seen += report.answer;
  }
  return seen;
}

}  // namespace lab::sharedctypes
