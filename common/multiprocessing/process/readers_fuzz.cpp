// Whatever bytes arrive, every reader of messages answers with a value or refuses them.
#include "common/multiprocessing/process/hostile.hpp"

extern "C" int LLVMFuzzerTestOneInput(const char* data, std::size_t size) {
  lab::start::read_hostile_bytes({data, size});
  return 0;
}
