// What processes can share through Redis: a flag that they ask for or are told of, a counter, a lock. A server is reached
// from wherever there is a network, by any language, and each look at it is a message there and a message back.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <random>
#include <string>
#include <utility>

#include "redis.hpp"

namespace lab::redis {

/// Seconds after which what we have written is gone, whoever was killed before he could tidy up: the server may be
/// somebody else's.
inline constexpr std::string_view kExpiry = "3600";

/// A key that nobody else uses on that server: "lab16:flag:1f3a...".
inline std::string new_key(std::string_view what) {
  std::random_device random;
  return fmt::format("lab16:{}:{:08x}{:08x}", what, random(), random());
}

// ---- a flag that is asked for ---------------------------------------------------------------------------------------

/// A worker's view of the flag: the key holds "1" or "0", and to look is a GET.
class PolledFlag {
 public:
  PolledFlag(const Address& address, std::string key) : connection_(address), key_(std::move(key)) {}
  /// Throws Error: also for a key that somebody has set to something else. One that has expired is not raised.
  bool raised() {
    const std::optional<std::string> value = connection_.text({"GET", key_});
    if (value && *value != "0" && *value != "1")
      throw Error(fmt::format("{} holds neither 0 nor 1: somebody else writes there", key_));
    return value == "1";
  }
  void raise() { set("1"); }
  void clear() { set("0"); }

 protected:
  void set(std::string_view value) { connection_.ok({"SET", key_, value, "EX", kExpiry}); }
  Connection connection_;
  std::string key_;
};

// ---- a flag that one is told of -------------------------------------------------------------------------------------

/// The server remembers who has read the key, and tells them once it changes (CLIENT TRACKING). Until then there is nothing
/// to ask: to look is one system call that finds no message. Two connections, for with the protocol that all clients speak
/// (RESP2) one that listens can do nothing else: what the first has read, the second is told of (REDIRECT).
class ToldFlag : public PolledFlag {
 public:
  ToldFlag(const Address& address, std::string key) : PolledFlag(address, std::move(key)), told_(address) {
    const std::string id = std::to_string(told_.integer({"CLIENT", "ID"}));
    told_.command({"SUBSCRIBE", "__redis__:invalidate"});
    connection_.ok({"CLIENT", "TRACKING", "ON", "REDIRECT", id});
    last_read_ = PolledFlag::raised();
  }
  bool raised() {
    const bool changed = told_.has_news();
    if (changed) told_.receive();  // one message a look; which key it names does not matter, for we read only one
    // TRAP: a message says that the value *was* changed. Whoever took it for "raised" would stop for a flag that has been
    // cleared meanwhile. It only says that it is time to ask; and to ask is what makes the server tell us the next time. A
    // raised flag is never taken from memory: that it was cleared may not have been told yet.
    if (changed || last_read_) last_read_ = PolledFlag::raised();
    return last_read_;
  }

 private:
  Connection told_;
  bool last_read_ = false;
};

/// The flag as the parent has it: no more than where it is. Each worker calls connect() after the fork.
template <class View>
class RedisFlag {
 public:
  explicit RedisFlag(Address address) : address_(std::move(address)), key_(new_key("flag")) {}
  View connect() const { return View(address_, key_); }
  void clear() { PolledFlag(address_, key_).clear(); }
  const std::string& key() const { return key_; }

 private:
  Address address_;
  std::string key_;
};

// ---- a counter ------------------------------------------------------------------------------------------------------

class Counter {
 public:
  Counter(const Address& address, std::string key) : connection_(address), key_(std::move(key)) {}
  void clear() { connection_.ok({"SET", key_, "0", "EX", kExpiry}); }
  /// One command, and the server does one after the other: no other client comes between its read and its write.
  std::int64_t add_by_incr() { return connection_.integer({"INCR", key_}); }
  /// TRAP: two commands, and what another client writes between them is overwritten: Value's `+= 1`, from further away.
  void add_by_get_and_set() { connection_.ok({"SET", key_, std::to_string(get() + 1), "EX", kExpiry}); }
  /// Throws Error for what is no number.
  std::int64_t get() {
    const std::string text = connection_.text({"GET", key_}).value_or("0");
    std::size_t read = 0;
    try {
      const std::int64_t value = std::stoll(text, &read);
      if (read == text.size()) return value;
    } catch (const std::logic_error&) {  // no number at all, or too large a one
    }
    throw Error(fmt::format("{} holds no number: somebody else writes there", key_));
  }

 private:
  Connection connection_;
  std::string key_;
};

// ---- a lock ---------------------------------------------------------------------------------------------------------

/// A lock is a key that only one can create (SET NX), and that the server removes when its holder does not (PX): a holder
/// that was killed delays the others by no more than the lease. That is also what it cannot do. A holder that is only slow
/// loses it without noticing, and then there are two in the critical section (TRAP): what must never happen twice needs the
/// resource itself to refuse the older one.
class Lock {
 public:
  Lock(const Address& address, std::string key, std::chrono::milliseconds lease = std::chrono::seconds(10))
      : connection_(address), key_(std::move(key)), token_(new_key("holder")), lease_(std::to_string(lease.count())) {}
  /// Whether it is ours now.
  bool try_acquire() { return connection_.text({"SET", key_, token_, "NX", "PX", lease_}) == "OK"; }
  /// Asks until it is. Throws Error once the deadline has passed. Each question is a round trip, which paces them.
  void acquire(Deadline deadline) {
    while (!try_acquire()) {
      if (Clock::now() >= deadline) throw Error(fmt::format("{} is held by somebody else", key_));
    }
  }
  /// Whether it was still ours. TRAP: a plain DEL removes whoever's lock it is by now, once our own has expired. To compare
  /// and to delete must be one step: the server runs a script as it runs a command.
  bool release() {
    static constexpr std::string_view script =
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";
    return connection_.integer({"EVAL", script, "1", key_, token_}) == 1;
  }

 private:
  Connection connection_;
  std::string key_, token_, lease_;
};

// ---- many commands in one go ----------------------------------------------------------------------------------------

/// GETs that key so many times: all questions are sent before the first answer is read. How many of them were "0".
/// TRAP: whoever sends without end and reads nothing fills both sides' buffers, and then neither goes on.
inline int get_pipelined(Connection& connection, std::string_view key, int depth) {
  for (int i = 0; i < depth; ++i) connection.send({"GET", key});
  int zeros = 0;
  for (int i = 0; i < depth; ++i) zeros += connection.receive().text == "0";
  return zeros;
}

}  // namespace lab::redis
