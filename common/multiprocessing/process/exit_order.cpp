#include "common/multiprocessing/process/exit_order.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "common/os/say.hpp"

namespace lab::start {
namespace {

struct State {
  std::mutex mutex;
  std::multimap<int, std::function<void()>> finalizers;  // of equal keys, the newest is the last
  std::atomic<void (*)()> end_children = nullptr;
  pid_t owner = 0;
  State* parents = nullptr;  // left alone, but not lost to those who look for leaks
};
// Made by whoever needs it first, and never destroyed: it is used after the destructors of statics have begun. A forked
// child finds its parent's, which is not its own. It is told by the pid and left untouched: a page written to is a page
// copied, in every worker.
State* existing = nullptr;
bool mine() { return existing && existing->owner == ::getpid(); }
State& state() { return *existing; }

// What fails here is said and gone past: the others still have their turn.
void attempt(const char* what, const std::function<void()>& step) {
  try {
    step();
  } catch (const std::exception& error) {
    say("{} failed: {}\n", what, error.what());
  }
}

void run_down_to(int priority) {
  for (;;) {
    std::function<void()> next;
    {
      const std::lock_guard lock(state().mutex);
      auto& all = state().finalizers;
      if (all.empty() || std::prev(all.end())->first < priority) return;
      next = std::move(std::prev(all.end())->second);
      all.erase(std::prev(all.end()));
    }
    attempt("a finalizer", next);
  }
}

void own_state() {
  static bool registered = false;  // in a forked child as well: exit() runs what its parent registered
  if (mine()) return;
  existing = new State{.parents = existing};  // whatever the parent had: its mutex may be held by a thread that is not here
  existing->owner = ::getpid();
  if (!std::exchange(registered, true)) std::atexit(run_exit_order);
}

}  // namespace

void at_process_exit(int priority, std::function<void()> finalizer) {
  own_state();
  const std::lock_guard lock(state().mutex);
  state().finalizers.emplace(priority, std::move(finalizer));
}

void set_children_end(void (*end_children)()) {
  own_state();
  state().end_children = end_children;
}

void run_exit_order() {
  if (!mine()) return;
  run_down_to(0);
  if (const auto end_children = state().end_children.exchange(nullptr)) attempt("ending the workers", end_children);
  run_down_to(INT_MIN);
}

}  // namespace lab::start
