#include "common/multiprocessing/process/spawn.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/os/children.hpp"
#include "common/os/say.hpp"

namespace lab::start {
namespace {

// argv of a worker: program, bond, tracker's socket or -1, the order's socket, descriptors.
constexpr const char* kWorker = "--lab-worker";
constexpr const char* kServer = "--lab-server";
constexpr int kFirstDescriptor = 3;

bool started_as_worker = false;
std::string& executable() {
  static auto& path = *new std::string("/proc/self/exe");
  return path;
}

// Before any static object of this program could start a process: the C library hands main's arguments to constructors
// too.
__attribute__((constructor(101))) void look_at_arguments(int argc, char** argv, char**) {
  started_as_worker = argc > kFirstDescriptor && (!std::strcmp(argv[1], kWorker) || !std::strcmp(argv[1], kServer));
}

void check(int error) {
  if (error) throw std::system_error(error, std::generic_category(), "cannot spawn a worker");
}

// How posix_spawn is to start a worker.
struct Start {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  Start() {
    check(::posix_spawn_file_actions_init(&files));
    check(::posix_spawnattr_init(&attributes));
  }
  ~Start() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
};

}  // namespace

bool bootstrapping() { return started_as_worker; }
void set_executable(std::string path) { executable() = std::move(path); }

void become_worker(int argc, char** argv) {
  if (!started_as_worker) return;
  std::vector<int> numbers;
  for (int i = 2; i < argc; ++i) numbers.push_back(std::atoi(argv[i]));
  close_all_but(numbers);
  for (const int fd : numbers) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  Descriptor orders(numbers[1]);
  std::vector<Descriptor> descriptors(numbers.size() - 2);
  for (std::size_t i = 2; i < numbers.size(); ++i) {
    // A copy of its own for what has another owner: the standard streams, and what was listed twice.
    const bool owned = numbers[i] <= STDERR_FILENO || std::count(numbers.begin() + 2, numbers.begin() + i, numbers[i]);
    descriptors[i - 2].reset(owned ? ::fcntl(numbers[i], F_DUPFD_CLOEXEC, 3) : numbers[i]);
  }
  if (numbers[0] >= 0) ResourceTracker::shared().adopt(Descriptor(numbers[0]));
  Order order;
  try {
    if (!std::strcmp(argv[1], kWorker)) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    make_stdin(open_null());
    order = receive_order(orders.get());
  } catch (const std::exception& error) {
    say("{} was started as a worker, but {}\n", argv[0], error.what());
    ::_exit(1);
  }
  // The parent may have died before prctl was reached: then no signal will ever come, and its pid tells.
  if (!std::strcmp(argv[1], kWorker) && ::getppid() != order.parent) ::_exit(1);
  orders.reset();
  started_as_worker = false;
  work_off(order, descriptors);
}

// Of the parent a worker has what exec keeps: environment, affinity, this thread's signal mask, and the listed
// descriptors. No memory, no locks, no threads; and so its parent's size costs nothing.
ChildProcess spawn(const Order& order, std::span<const int> descriptors, Bond bond) {
  find_entry(order.entry);
  const bool tracked = order.entry != ResourceTracker::kEntry;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  std::vector<int> kept{tracked ? ResourceTracker::shared().descriptor() : -1, theirs.get()};
  kept.insert(kept.end(), descriptors.begin(), descriptors.end());
  Start start;
  std::vector<std::string> words{program_invocation_name, bond == Bond::outlives_parent ? kServer : kWorker};
  for (const int fd : kept) {
    words.push_back(std::to_string(fd));
    if (fd >= 0) check(::posix_spawn_file_actions_adddup2(&start.files, fd, fd));
  }
  // Ignored signals stay so through exec: one that is sent before the worker has settled in would be lost.
  sigset_t defaults;
  ::sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&defaults, signal);
  check(::posix_spawnattr_setsigdefault(&start.attributes, &defaults));
  check(::posix_spawnattr_setflags(&start.attributes, POSIX_SPAWN_SETSIGDEF));
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  flush_output();
  pid_t pid = 0;
  check(::posix_spawn(&pid, executable().c_str(), &start.files, &start.attributes, argv.data(), environ));
  ChildProcess child(pid);
  theirs.reset();  // else we would not hear that the only other holder, the worker, has died before it read all
  try {
    send_order(ours.get(), order);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe && error.code() != std::errc::connection_reset) throw;
  }  // it has ended already: its status says how
  return child;
}

}  // namespace lab::start
