#include "common/multiprocessing/process/exit_order.hpp"

#include <fmt/format.h>

#include <atomic>
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

State& own_state() {
  static std::atomic<bool> registered = false;  // in a forked child as well: exit() runs what its parent registered
  if (!registered && !registered.exchange(true)) std::atexit(run_exit_order);
  return state.get();
}

// What is to run next; empty when nothing is left.
std::function<void()> take_next(State& own) {
  const std::lock_guard lock(own.mutex);
  auto& all = own.finalizers;
  if (own.end_children && (all.empty() || all.rbegin()->first < 0)) return own.end_children.exchange(nullptr);
  if (all.empty()) return nullptr;
  return std::move(all.extract(std::prev(all.end())).mapped());
}

}  // namespace

void at_process_exit(int priority, std::function<void()> finalizer) {
  State& own = own_state();
  const std::lock_guard lock(own.mutex);
  own.finalizers.emplace(priority, std::move(finalizer));
}

void set_children_end(void (*end_children)()) {
  State& own = own_state();
  if (own.end_children != end_children) own.end_children = end_children;  // a write would cost every fork a copied page
}

void run_exit_order() {
  if (!state.existing()) return;
  while (const auto next = take_next(state.get())) {
    try {
      next();
    } catch (const std::exception& error) {  // the others still have their turn
      say("at the end of the process: {}\n", error.what());
    }
  }
}

}  // namespace lab::start
