// What is seen and not timed: what a counter in Redis keeps, who sees a flag there, and what a restart leaves of it.
#pragma once

#include "common/harness/claims.hpp"
#include "redis.hpp"

namespace lab::redis {

/// What `workers` processes of `each` increments have made of a counter on that server.
struct Kept {
  std::int64_t of = 0, by_incr = 0, by_get_and_set = 0;
  std::int64_t of_locked = 0, by_get_and_set_locked = 0;  ///< fewer, for they take turns
};
Kept count_together(const Address& address, int workers, int each);

/// What redis-cli, a program of its own, gets for a key. Throws Error where it cannot, or not within 5 s.
std::string get_by_redis_cli(const Address& address, const std::string& key);

// Facts of claims. What keeps one from being looked at (a full disk, a replica that does not come) is its sentence.
Seen incr_is_exact(const Address& address, bool quick);
Seen others_see_the_flag();      ///< with two servers of our own
Seen snapshot_keeps_the_flag();  ///< with one

}  // namespace lab::redis
