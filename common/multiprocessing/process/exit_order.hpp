// In which order a process ends: finalizers of priority 0 and more, then its children, then the other finalizers.
#pragma once

#include <functional>

namespace lab::start {

/// Runs `finalizer` when this process ends by returning from main, exit() or as a worker, not by _exit or a signal:
/// higher priorities first, of equal ones the newest first; those below 0 only after the children have ended. Python's
/// own: a pool's end 15, a queue's 10, locks 0, a queue's feeder -5, temporary folders -100. A forked child does not
/// run its parent's.
void at_process_exit(int priority, std::function<void()> finalizer);

/// What stands for "its children" above; set by the code that starts them.
void set_children_end(void (*end_children)());

/// Runs and forgets all of it. For the worker's end; a main process needs no call.
[[gnu::hot]] void run_exit_order();

}  // namespace lab::start
