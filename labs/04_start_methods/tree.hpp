// Who is whose child? A small family, started by all methods, which introduces itself.
#pragma once

#include <string>

namespace lab::start {

/// Starts workers by each method, and workers of workers, and returns the tree they make: name, pid, the parent's pid
/// as the kernel has it, and who asked for it.
std::string family_tree();

}  // namespace lab::start
