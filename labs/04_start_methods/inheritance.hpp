// What a new worker has of its parent: looked up, not looked up in a book.
#pragma once

#include <string>
#include <tuple>

#include "common/multiprocessing/process/child.hpp"

namespace lab::start {

/// Whether a worker has what its parent changed shortly before starting it.
struct Inherited {
  bool memory = false;       ///< the new value of a global variable
  bool descriptor = false;   ///< an open file that was not listed for it
  bool environment = false;  ///< a new environment variable
  bool held_lock = false;    ///< a mutex that the parent holds is locked in the worker, too
  bool signal_mask = false;  ///< a signal that the parent has blocked since
  bool affinity = false;     ///< the CPUs the parent has been bound to since; false also where there is only one CPU
  auto members() { return std::tie(memory, descriptor, environment, held_lock, signal_mask, affinity); }
};

/// Changes all of that, starts a worker, undoes it. A fork server runs before the change.
Inherited inherited_by(Method method);

/// inherited_by() of every method, as text. Where there is only one CPU, it cannot tell of the binding and says so.
std::string inheritance_table();

}  // namespace lab::start
