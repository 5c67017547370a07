// What is not a matter of time: seen once, by doing it.
#pragma once

#include "common/harness/claims.hpp"

namespace lab::start {

/// A worker's crash ends the worker alone, by each start method that makes a process; a thread's ends its whole
/// process.
Seen crash_is_contained();
/// What a killed process has named in shared memory stays, unless a resource tracker knows of it.
Seen names_outlive_their_makers();
/// A lock that another thread holds is locked for ever in a forked worker, and free in one that starts afresh.
Seen forked_locks_stay_locked();
/// A forked worker's private memory grows by the pages it writes to.
Seen copies_what_it_touches();

}  // namespace lab::start
