// A worker as a fresh program: posix_spawn of our own executable, which is told over a socket which entry to run.
#pragma once

#include <span>
#include <string>

#include "common/multiprocessing/process/worker.hpp"
#include "common/os/children.hpp"

namespace lab::start {

/// What a spawned process is to its parent: a worker dies with it; a server lives until its pipe or socket reads
/// end-of-file.
enum class Bond { dies_with_parent, outlives_parent };

/// Must be the first thing in main of every program that spawns: in a worker it runs the ordered entry and does not
/// return. A program without it would start itself anew in each worker, so such a worker is refused children of its
/// own.
void become_worker(int argc, char** argv);

/// The program that spawned workers, fork servers and resource trackers are from now on, as by
/// multiprocessing.set_executable: it knows the same entries and begins with become_worker(), but need not load what only the
/// rest of this one uses. Until then: /proc/self/exe, the very file that runs, even if it has been replaced.
void set_executable(std::string path);

/// Spawns that program as a worker that runs `order` with these descriptors, which keep their numbers. Throws UnknownEntry
/// before anything is started, std::system_error.
ChildProcess spawn(const Order& order, std::span<const int> descriptors, Bond bond = Bond::dies_with_parent);

/// True in a spawned worker that has not reached its entry yet.
bool bootstrapping();

}  // namespace lab::start
