// The least a new worker can cost: bare system calls, no protocol. Each throws when its child did not end with status
// 0.
#pragma once

namespace lab::start {

void fork_exit_wait();
/// The child borrows the parent's memory, which it may not touch, while the parent stands still.
void vfork_exit_wait();
/// posix_spawn of this executable with kReturnAtOnce: exec and the loader's work, no protocol.
void spawn_return_at_once();
void thread_create_join();
/// fork_exit_wait, and a byte there and back over a Unix socket twice: what a fork server cannot do without.
void fork_and_two_round_trips();

/// main returns 0 at once when this is its only argument.
inline constexpr const char* kReturnAtOnce = "--return-at-once";

}  // namespace lab::start
