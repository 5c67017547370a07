// Holding an interpreter lock for a while, and letting go of it around a call that blocks.
#pragma once

namespace lab::gil {

/// Holds the lock from here to the end of the scope, also when an exception ends it: a thread that went away with the
/// lock would stop all the others for good.
template <class Lock>
class [[nodiscard]] Held {
 public:
  explicit Held(Lock& lock) : lock_(lock) { lock_.take(); }
  ~Held() { lock_.drop(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  Lock& lock_;
};

/// Lets others run while this thread blocks: what CPython writes around read(), sleep() and large computations in C
/// (Py_BEGIN_ALLOW_THREADS). No object of the interpreter may be touched inside. errno is what the blocking call left.
template <class Lock>
class [[nodiscard]] Released {
 public:
  explicit Released(Lock& lock) : lock_(lock) { lock_.drop(); }
  ~Released() { lock_.take(); }
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;

 private:
  Lock& lock_;
};

}  // namespace lab::gil
