#include "common/multiprocessing/process/exit_order.hpp"

#include <fmt/format.h>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>

#include "common/os/per_process.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

struct State {
  std::mutex mutex;
  std::multimap<int, std::function<void()>> finalizers;  // of equal keys, the newest is the last
  std::atomic<void (*)()> end_children = nullptr;
};
PerProcess<State> state;

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
      const std::lock_guard lock(state.get().mutex);
      auto& all = state.get().finalizers;
      if (all.empty() || std::prev(all.end())->first < priority) return;
      next = std::move(std::prev(all.end())->second);
      all.erase(std::prev(all.end()));
    }
    attempt("a finalizer", next);
  }
}

State& own_state() {
  static std::atomic<bool> registered = false;  // in a forked child as well: exit() runs what its parent registered
  if (!registered.exchange(true)) std::atexit(run_exit_order);
  return state.get();
}

}  // namespace

void at_process_exit(int priority, std::function<void()> finalizer) {
  State& own = own_state();
  const std::lock_guard lock(own.mutex);
  own.finalizers.emplace(priority, std::move(finalizer));
}

void set_children_end(void (*end_children)()) { own_state().end_children = end_children; }

void run_exit_order() {
  if (!state.existing()) return;
  run_down_to(0);
  if (const auto end_children = state.get().end_children.exchange(nullptr)) attempt("ending the workers", end_children);
  run_down_to(INT_MIN);
}

}  // namespace lab::start
