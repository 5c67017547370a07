// A bytecode interpreter in one loop, as much of one as the lock needs: a stack, nine instructions, one global variable.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "common/kernels/busy_wait.hpp"
#include "guards.hpp"

namespace lab::gil {

enum class Opcode : std::uint8_t {
  load_constant,         ///< push the argument
  load_global,           ///< push x
  add,                   ///< pop two, push their sum
  store_global,          ///< pop into x
  call,                  ///< push f()
  decrement,             ///< the top less one
  jump_if_not_zero,      ///< to the argument's instruction, if the top is not zero: a loop's back edge
  pop_jump_if_not_zero,  ///< the same, and pop: a back edge too
  return_value           ///< the top
};

struct Instruction {
  Opcode opcode;
  std::int64_t argument = 0;
};

using Program = std::vector<Instruction>;

/// What all threads share. A slot of an interpreter is a plain word; in C++ an unordered read and write of such a word
/// is a relaxed atomic load and a relaxed store. Each is whole, x += 1 is not: it loads, adds and stores.
struct Globals {
  std::atomic<std::int64_t> x{0};
  std::int64_t (*f)() = [] { return std::int64_t{1}; };  ///< opaque to the interpreter: it may do anything
};

/// Where the loop looks whether it should let go of the lock.
enum class CheckPoints {
  back_edges_and_calls,  ///< Python from 3.10 on
  every_instruction      ///< about what Python did before
};

/// No lock at all: what an interpreter without one would be free to do.
struct NoLock {
  void take() {}
  void drop() {}
  bool drop_requested() const { return false; }
  void check_point() {}
  std::uint64_t switches() const { return 0; }
};

/// Counts of busy_wait in front of every instruction: with the loop's own work some 30 ns, CPython's pace. A native
/// loop would pass 100 instructions in 0.1 us, where Python needs 3, and no lock could be compared with Python's.
inline constexpr std::uint64_t instruction_counts = 100;

/// while n: n -= 1. Refuses n < 1 (std::invalid_argument). Returns 0.
inline Program countdown(std::int64_t n) {
  if (n < 1) throw std::invalid_argument("countdown: n must be at least 1");
  return {{Opcode::load_constant, n}, {Opcode::decrement}, {Opcode::jump_if_not_zero, 1}, {Opcode::return_value}};
}

/// while x: pass. A thread that keeps its CPU busy, without ever letting go unasked, until another one sets x to 0.
inline Program spin_while_x() {
  return {{Opcode::load_global}, {Opcode::pop_jump_if_not_zero, 0}, {Opcode::load_constant, 0}, {Opcode::return_value}};
}

/// x += 1, `times` times: load x, load 1, add, store x. Refuses times < 1.
inline Program add_to_global(std::int64_t times) {
  if (times < 1) throw std::invalid_argument("add_to_global: times must be at least 1");
  return {{Opcode::load_constant, times}, {Opcode::load_global}, {Opcode::load_constant, 1},    {Opcode::add},
          {Opcode::store_global},         {Opcode::decrement},   {Opcode::jump_if_not_zero, 1}, {Opcode::return_value}};
}

/// x += f(), `times` times: the same, but for a call between the load and the store.
inline Program add_call_to_global(std::int64_t times) {
  Program program = add_to_global(times);
  program[2] = {Opcode::call};
  return program;
}

/// Runs the program in the calling thread, which takes the lock for it, and returns its value.
template <class Lock>
std::int64_t run(const Program& program, Lock& lock, Globals& globals,
                 CheckPoints check_points = CheckPoints::back_edges_and_calls) {
  const Held held(lock);
  std::array<std::int64_t, 4> stack{};
  std::int64_t* top = stack.data();  // stack[0] stays unused, so that top always points at something
  for (const Instruction* next = program.data();;) {
    const Instruction now = *next++;
    busy_wait(instruction_counts);
    bool check = check_points == CheckPoints::every_instruction;
    switch (now.opcode) {
      case Opcode::load_constant:
        *++top = now.argument;
        break;
      case Opcode::load_global:
        *++top = globals.x.load(std::memory_order_relaxed);
        break;
      case Opcode::add:
        --top;
        top[0] += top[1];
        break;
      case Opcode::store_global:
        globals.x.store(*top--, std::memory_order_relaxed);
        break;
      case Opcode::call:
        *++top = globals.f();
        check = true;
        break;
      case Opcode::decrement:
        --*top;
        break;
      case Opcode::jump_if_not_zero:
        if (*top == 0) break;
        next = program.data() + now.argument;
        check = true;
        break;
      case Opcode::pop_jump_if_not_zero:
        if (*top-- == 0) break;
        next = program.data() + now.argument;
        check = true;
        break;
      case Opcode::return_value:
        return *top;
    }
    if (check) lock.check_point();
  }
}

}  // namespace lab::gil
