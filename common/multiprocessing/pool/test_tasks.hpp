// Tasks for the tests of pools, what tests see of them through shared memory, and the nursery, forked before any
// thread.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <set>
#include <thread>

#include "common/machine/placement.hpp"
#include "common/multiprocessing/process/process.hpp"
#include "common/os/mapping.hpp"
#include "pool.hpp"

namespace lab::pool {

using namespace std::chrono_literals;
constexpr auto kSoon = 60s;     // what must happen happens within this, whatever the machine's load
constexpr auto kHangs = 300ms;  // and what is not there after this is taken for hanging

/// Counts by number, seen by tests and their tasks in other processes.
inline std::atomic<int>* seen() {
  static const SharedArray<std::atomic<int>> counts(4096);  // first called before the nursery is forked
  return counts.begin();
}
inline bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds within = kSoon) {
  for (const Deadline deadline = Clock::now() + within; Clock::now() < deadline; std::this_thread::sleep_for(1ms)) {
    if (condition()) return true;
  }
  return false;
}

namespace tasks {

// Knows how to leave, but not how to arrive.
struct Unreadable : std::runtime_error {
  explicit Unreadable(const std::string& text) : std::runtime_error(text) {
    if (text == "cannot arrive") throw std::bad_alloc();
  }
  Unreadable() : std::runtime_error("") {}
  const char* what() const noexcept override { return "cannot arrive"; }
};
struct Custom : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Cannot be encoded when it is 13.
struct Superstitious {
  int x = 0;
  auto members() {
    if (x == 13) throw MessageError("13 is not sent");
    return std::tie(x);
  }
};

inline int square(int x) { return x * x; }
inline int echo_number(int x) { return x; }
inline std::string large_result(int flag) {
  ++seen()[flag];
  return std::string(4 << 20, 'x');
}
inline int subtract(int a, int b) { return a - b; }
inline int mark(int x) {
  ++seen()[x];
  return x;
}
inline int sleep_ms(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  return ms;
}
inline int wait_for_flag(int flag) {
  if (!eventually([&] { return seen()[flag] > 0; })) throw std::runtime_error("nobody raised the flag");
  return flag;
}
inline int fail_or_wait(int flag) { return flag == 0 ? throw std::runtime_error("none") : wait_for_flag(flag); }
inline int fail_on(int x) {  // items 5 and 25; 5 only after 25 has failed
  ++seen()[x];
  if (x == 25) throw std::out_of_range("25");
  if (x == 5) {
    std::this_thread::sleep_for(200ms);
    throw std::invalid_argument("5");
  }
  return x;
}
inline int odd_fails(int x) { return x % 2 ? throw std::runtime_error("odd") : x; }
inline int five_fails(int x) { return x == 5 ? throw std::runtime_error("five") : x; }
inline int custom_error(int) { throw Custom("made to measure"); }
inline int unreadable_error(int) { throw Unreadable(); }
inline int throws_number(int x) { throw x; }
inline int leaves(int status) { throw start::Exit(status); }
inline int exits(int status) { std::exit(status); }
inline int kill_self(int signal) {
  ::raise(signal);
  return 0;
}
inline int die_leaving_a_child(int flag) {  // which holds the worker's pipes open until the flag is raised
  if (::fork() == 0) {
    eventually([&] { return seen()[flag] > 0; });
    ++seen()[flag];
    ::_exit(0);
  }
  return kill_self(SIGKILL);
}
inline int pid(int) { return ::getpid(); }
inline std::string worker_name(int) { return current_worker(); }
struct Place {
  std::string worker;
  std::vector<int> cpus;
  auto members() { return std::tie(worker, cpus); }
};
inline Place place(int) { return {current_worker(), bound_to()}; }
inline std::string echo(std::string text) { return text; }
inline Superstitious thirteen(int x) { return {x}; }
inline void nothing(int) {}
inline std::atomic<int> initialized{0};
inline void initialize(int value) { initialized = value; }
inline int initial_value(int) { return initialized; }
inline void initializer_fails(int flag) {
  ++seen()[flag];
  throw std::runtime_error("no database");
}
inline void initializer_throws_number() {
  ++seen()[0];
  throw 3;
}
inline void initializer_has_bad_luck(int flag) {  // is killed a few times, then fails twice
  const int tries = ++seen()[flag];
  if (tries <= 10) ::raise(SIGKILL);
  if (tries <= 12) throw std::runtime_error("no database yet");
}
inline int pool_in_a_task(int) { return Pool({.processes = 1}).size(); }
inline int entry(std::string_view, std::span<Descriptor>) { return 0; }
inline void process_in_a_task(int) { start::Process(start::Method::fork, "nothing to do").start(); }
inline std::atomic<Pool*> of_the_parent = nullptr;
inline int submit_to_the_parents_pool(int x) { return of_the_parent.load()->apply<int>("square", x); }
struct Coin {
  int value = 0;
  explicit Coin(int with = 0) : value(with) {}
  Coin(Coin&&) = default;
  Coin& operator=(Coin&&) = default;
  auto members() { return std::tie(value); }
};
inline int pay(Coin coin) { return coin.value; }
inline int unlucky(Superstitious given) { return given.x; }
inline int echo_bit(bool bit) { return bit; }
inline bool even(int x) { return x % 2 == 0; }
using Nest = std::map<std::string, std::vector<std::optional<std::tuple<int, Superstitious>>>>;
inline Nest nest(Nest given) {
  given["more"] = {};
  return given;
}

inline const bool known =
    register_task("square", square) && register_task("echo_number", echo_number) &&
    register_task("large_result", large_result) && register_task("subtract", subtract) && register_task("mark", mark) &&
    register_task("sleep_ms", sleep_ms) && register_task("wait_for_flag", wait_for_flag) &&
    register_task("fail_on", fail_on) && register_task("odd_fails", odd_fails) &&
    register_task("five_fails", five_fails) && register_task("custom_error", custom_error) &&
    register_task("unreadable_error", unreadable_error) && register_task("throws_number", throws_number) &&
    register_task("leaves", leaves) && register_task("exits", exits) && register_task("kill_self", kill_self) &&
    register_task("die_leaving_a_child", die_leaving_a_child) && register_task("pid", pid) &&
    register_task("worker_name", worker_name) && register_task("place", place) && register_task("echo", echo) &&
    register_task("thirteen", thirteen) && register_task("nothing", nothing) &&
    register_task("initialize", initialize) && register_task("initial_value", initial_value) &&
    register_task("initializer_fails", initializer_fails) &&
    register_task("initializer_throws_number", initializer_throws_number) &&
    register_task("initializer_has_bad_luck", initializer_has_bad_luck) &&
    register_task("pool_in_a_task", pool_in_a_task) && register_task("process_in_a_task", process_in_a_task) &&
    start::register_entry("nothing to do", entry) && register_task("even", even) && register_task("pay", pay) &&
    register_task("unlucky", unlucky) && register_task("echo_bit", echo_bit) &&
    register_task("fail_or_wait", fail_or_wait) && register_task("nest", nest) &&
    register_task("submit_to_the_parents_pool", submit_to_the_parents_pool) && register_error<Custom>("Custom") &&
    register_error<Unreadable>("Unreadable");

}  // namespace tasks

}  // namespace lab::pool
