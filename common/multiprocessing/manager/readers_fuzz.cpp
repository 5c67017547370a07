// Whatever bytes arrive at a manager's socket, before the handshake or after it, they are answered or refused.
#include "common/multiprocessing/manager/hostile.hpp"

extern "C" int LLVMFuzzerTestOneInput(const char* data, std::size_t size) {
  lab::manager::read_hostile_bytes({data, size});
  return 0;
}
