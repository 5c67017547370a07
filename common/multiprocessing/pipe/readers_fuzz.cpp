// Whatever bytes arrive, every reader of messages answers with a value or a sentence.
#include "common/multiprocessing/pipe/hostile.hpp"

extern "C" int LLVMFuzzerTestOneInput(const char* data, std::size_t size) {
  lab::pipe::read_hostile_bytes({data, size});
  return 0;
}
