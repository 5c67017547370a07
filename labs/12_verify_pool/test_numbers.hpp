// Numbers of all kinds, for the tests of whatever verifies one.
#pragma once

#include <cstdint>

#include "common/kernels/primes.hpp"

namespace lab::verify {

struct Case {
  std::uint64_t n;
  bool prime;
};
inline constexpr Case kCases[] = {{4, false},
                                  {529, false},  // 23 x 23: a piece has one candidate
                                  {8861, true},
                                  {1000003ull * 1000003, false},
                                  {~0ull, false},
                                  {~0ull - 1, false},
                                  {numbers::trivial_non_prime, false},
                                  {numbers::prime15, true},
                                  {numbers::small_prime, true},
                                  {numbers::small_non_prime_1, false},
                                  {numbers::small_non_prime_2, false},
                                  {23ull * 29 * 601, false}};  // two workers find a factor each

}  // namespace lab::verify
