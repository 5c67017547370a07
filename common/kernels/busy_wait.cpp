#include "common/kernels/busy_wait.hpp"

namespace lab {

std::uint64_t busy_wait(std::uint64_t n) {
  while (n != 0) {
    // An empty instruction that may have changed n: without it the compiler knows the answer and drops the loop.
    asm volatile("" : "+r"(n));
    --n;
  }
  return n;
}

}  // namespace lab
