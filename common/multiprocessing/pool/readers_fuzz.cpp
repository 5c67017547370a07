// Whatever bytes arrive, every reader of messages answers with a value or a sentence.
#include "hostile.hpp"

extern "C" int LLVMFuzzerTestOneInput(const char* data, std::size_t size) {
  lab::pool::read_hostile_bytes({data, size});
  return 0;
}
