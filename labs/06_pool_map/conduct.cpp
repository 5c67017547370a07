// CPython's traps: what its Pool does where one would expect something else.
#include "conduct.hpp"

#include <sched.h>

#include <climits>
#include <cstdlib>

namespace lab::pool {

// The CPUs this process may use (or PYTHON_CPU_COUNT), however little of their time a container's quota grants.
int Conduct::default_size() const {
  if (const char* asked = std::getenv("PYTHON_CPU_COUNT"); asked != nullptr && std::atoi(asked) > 0)
    return std::atoi(asked);
  cpu_set_t cpus;
  return ::sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
}

// map(..., chunksize=0) makes no chunks, runs nothing, and returns a list of None.
std::size_t Conduct::chunk_size(std::ptrdiff_t asked) const { return asked < 1 ? 0 : static_cast<std::size_t>(asked); }

// imap eats its whole input, before anybody has taken a result.
std::size_t Conduct::read_ahead() const { return SIZE_MAX; }

// What is no ordinary error, as sys.exit() in a task, ends the worker.
bool Conduct::worker_catches_all() const { return false; }

// The task of a worker that died is lost: nobody is told, and get() waits for ever.
std::exception_ptr Conduct::lost(const std::string&) const { return nullptr; }

// What was pending at terminate() never becomes ready.
std::exception_ptr Conduct::terminated() const { return nullptr; }

// A callback that throws, or a result that cannot be decoded, ends the thread that takes in all results.
bool Conduct::handler_caught(Job&, std::size_t) const { throw; }

// A worker whose initializer fails is replaced, and its replacement, and so on.
int Conduct::failed_starts() const { return INT_MAX; }

}  // namespace lab::pool
