// Work is named, never pointed to: a function's address means nothing in another program, and a wrong one would jump
// anywhere. Both ends are the same executable, so both know the same names.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/os/descriptor.hpp"

namespace lab::start {

/// What a worker runs. `argument` is whatever the parent passed, mostly encode()d values; `descriptors` are open here
/// and belong to the worker: move out what is to outlive the call. What it returns becomes the worker's exit status, 0
/// to 255.
using Entry = int (*)(std::string_view argument, std::span<Descriptor> descriptors);

struct UnknownEntry : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// Gives an entry its name; for namespace scope, in a file the program is sure to link (its main.cpp):
/// `const bool known = lab::start::register_entry("count", count);`. Throws std::invalid_argument for a name taken by
/// another.
bool register_entry(const std::string& name, Entry entry);

/// Throws UnknownEntry; the sentence lists the names there are.
[[gnu::hot]] Entry find_entry(const std::string& name);

}  // namespace lab::start
