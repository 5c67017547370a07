// What a pool does in the places where CPython's has a trap.
#pragma once

#include <cstddef>

#include "job.hpp"

namespace lab::pool {

/// This is CPython's way; the repairs override it.
struct Conduct {
  virtual ~Conduct() = default;
  virtual int default_size() const;
  virtual std::size_t chunk_size(std::ptrdiff_t asked) const;
  virtual std::size_t read_ahead() const;
  virtual bool worker_catches_all() const;
  /// The error of a chunk whose worker has died; null: nobody is told.
  virtual std::exception_ptr lost(const std::string& sentence) const;
  /// The error of what was pending at terminate(); null: it stays pending.
  virtual std::exception_ptr terminated() const;
  /// In the result-handler thread, while the exception of a callback or of an undecodable reply is being handled. To
  /// throw it again ends the thread. Returns whether the job is complete.
  virtual bool handler_caught(Job& job, std::size_t chunk) const;
  /// How many workers in a row may fail in their initializer before the pool gives up.
  virtual int failed_starts() const;
};

}  // namespace lab::pool
