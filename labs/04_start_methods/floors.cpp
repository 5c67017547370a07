#include "floors.hpp"

#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <thread>

#include "common/os/children.hpp"
#include "common/os/descriptor.hpp"

namespace lab::start {
namespace {

void wait_for_success(pid_t pid) {
  if (pid < 0) throw_errno("cannot start a process");
  int status = 0;
  wait_for_child(pid, &status);
  if (status != 0) throw std::runtime_error("a floor's child failed");
}

// Sends every byte back, until end-of-file.
Descriptor start_echo() {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  if (fork_child() == 0) {
    leave([&here = theirs, &there = ours] {
      there.reset();
      for (std::array<std::byte, 1> byte; read_full(here.get(), byte) == 1;) write_all(here.get(), byte);
    });
  }
  return std::move(ours);
}

}  // namespace

void fork_exit_wait() {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  wait_for_success(pid);
}

void vfork_exit_wait() {
  const pid_t pid = ::vfork();
  if (pid == 0) ::_exit(0);
  wait_for_success(pid);
}

void spawn_return_at_once() {
  std::string argument = kReturnAtOnce;
  std::array<char*, 3> argv{program_invocation_name, argument.data(), nullptr};
  pid_t pid = 0;
  errno = ::posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv.data(), environ);
  wait_for_success(errno ? -1 : pid);
}

void thread_create_join() {
  std::thread([] {}).join();
}

void fork_and_two_round_trips() {
  static const Descriptor echo = start_echo();  // dies with this process
  std::array<std::byte, 1> byte{};
  for (int trip = 0; trip < 2; ++trip) {
    write_all(echo.get(), byte);
    if (read_full(echo.get(), byte) != 1) throw std::runtime_error("the echo does not answer");
  }
  fork_exit_wait();
}

}  // namespace lab::start
