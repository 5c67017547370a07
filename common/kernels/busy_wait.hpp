// Work that is nothing but a CPU's time.
#pragma once

#include <cstdint>

namespace lab {

/// Counts down from n by one, about a cycle a count, touching no memory; returns what is left, 0.
std::uint64_t busy_wait(std::uint64_t n);

}  // namespace lab
