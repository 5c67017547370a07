#include "sturdy_pool.hpp"

#include <cmath>
#include <cstdio>

#include "common/machine/quota.hpp"

namespace lab::pool {

// A container's quota grants time, not CPUs: more workers than it pays for only take turns.
int SturdyConduct::default_size() const {
  const auto quota = cpu_quota();
  return quota ? std::min(Conduct::default_size(), static_cast<int>(std::ceil(*quota))) : Conduct::default_size();
}

std::size_t SturdyConduct::chunk_size(std::ptrdiff_t asked) const {
  if (asked < 1) throw std::invalid_argument("the chunk size must be at least 1");
  return static_cast<std::size_t>(asked);
}

bool SturdyConduct::handler_caught(Job& job, std::size_t chunk) const {
  std::exception_ptr told;
  try {
    throw;
  } catch (const CallbackError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    job.publish();  // the answer itself is good
    return true;
  } catch (const MessageError& error) {
    told = std::make_exception_ptr(
        MessageError("the reply of task " + job.task + " is not what was asked for: " + error.what()));
  } catch (...) {
    told = std::current_exception();
  }
  try {
    return job.accept(chunk, {.error = told});
  } catch (const CallbackError&) {
    return handler_caught(job, chunk);
  }
}

}  // namespace lab::pool
