// What goes wrong with a mapping, and what the flags of mmap change for a flag.
#pragma once

#include <string>

#include "mmap_flag.hpp"

namespace lab::mmap_flag {

/// Whether this process sees what a forked one has written to the flag.
bool seen_by_others(MappedByte& flag);

/// How a process ends that looks at its mapping of a file after another has cut the file to nothing: "signal 7 (Bus error)"
/// (TRAP), or "status 0" where the file was sealed against it.
std::string after_truncation(bool sealed);

/// A line a backing: page faults of the first write, whether others see it.
std::string what_flags_change();

}  // namespace lab::mmap_flag
