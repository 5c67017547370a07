// The objects themselves, in the server: what CPython calls referents.
#pragma once

#include <memory>

#include "common/multiprocessing/manager/object.hpp"
#include "common/os/timeout.hpp"

namespace lab::manager {

/// Who asks.
struct Caller {
  std::uint64_t process = 0;
  int socket = -1;
  bool gone() const;  ///< has hung up, or died
};
/// Thrown in the middle of a call that has to wait: nobody is left to answer.
struct CallerGone {};

class Referent {
 public:
  virtual ~Referent() = default;
  /// Does it, one call at a time. Throws RemoteError, queue::Empty, queue::Full; CallerGone.
  virtual Object call(Method method, Items& arguments, const Caller& caller) = 0;
  /// The result of such a call found nobody to take it.
  virtual void undelivered(Method, Object&&) {}
  /// Lets go of what it holds.
  virtual void clear() {}
  /// The last connection of that process is closed.
  virtual void process_ended(std::uint64_t) {}
};

/// Makes one of the type that the first argument names, from the others. Throws RemoteError.
std::pair<Type, std::unique_ptr<Referent>> make_referent(Items& arguments);

}  // namespace lab::manager
