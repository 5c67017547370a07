// guard [--] COMMAND...: runs a test and fails it when it leaves something behind: a process, a shared memory segment,
// a message queue, a file in TMPDIR. Exit status: the command's own (128 + signal when one killed it), 1 with a list on
// stderr when something was left, 2 when it could not start.
//
// The guard is a subreaper: what the command orphans, even by setsid, becomes the guard's own child and is found by
// waiting. Where it may (root), it gives the command a mount and IPC namespace of its own, so that /dev/shm and message
// queues hold the command's things alone; elsewhere it compares before and after, and passes over what some living
// process still uses: that belongs to a test that runs beside this one.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/os/say.hpp"

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// What is already dying when the command ends (workers whose parent just went) gets this long.
constexpr auto grace = std::chrono::seconds(1);

[[noreturn]] void give_up(const std::string& what) {
  lab::say("guard: {}: {}\n", what, std::strerror(errno));
  std::exit(2);
}

sigset_t signals(std::initializer_list<int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  return set;
}

// A file of /proc: one line of text, nothing when the process has gone. NULs (of cmdline) become spaces.
std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(in), {});
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code gone;
  for (fs::directory_iterator it(folder, gone), end; !gone && it != end; it.increment(gone))
    found.push_back(it->path());
  return found;
}

std::vector<fs::path> processes() {
  auto all = entries("/proc");
  std::erase_if(all, [](const fs::path& path) {
    return path.filename().string().find_first_not_of("0123456789") != std::string::npos;
  });
  return all;
}

// Reaps every child that has ended; the command's status goes to `command_status`. False when no child is left.
bool reap(pid_t command, std::optional<int>& command_status) {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == command) command_status = status;
  }
  return pid == 0;
}

// Waits for one of the (blocked) signals until the deadline; 0 when none came.
int wait_signal(const sigset_t& set, Clock::time_point deadline, siginfo_t* info) {
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - Clock::now()).count();
  if (left <= 0) return 0;
  const timespec limit{left / 1'000'000'000, left % 1'000'000'000};
  const int number = sigtimedwait(&set, info, &limit);
  return number > 0 ? number : 0;
}

// Kills the children that are left, and the grandchildren the guard so adopts, and names each. Only own children are
// killed: nobody else reaps those, so their pids cannot have passed to a stranger.
void kill_children(std::vector<std::string>& left) {
  const auto deadline = Clock::now() + grace;
  const sigset_t child_ended = signals({SIGCHLD});
  std::set<std::string> named;
  std::optional<int> ignored;
  while (reap(-1, ignored) && Clock::now() < deadline) {
    for (const fs::path& process : processes()) {
      const std::string stat = slurp(process / "stat");  // pid (name) state parent ...; the name may hold brackets
      const auto name = stat.find('('), name_end = stat.rfind(')');
      char state = 0;
      int parent = 0;
      if (name == std::string::npos || std::sscanf(&stat[name_end + 1], " %c %d", &state, &parent) != 2) continue;
      if (parent != getpid() || state == 'Z') continue;
      const std::string pid = process.filename();
      if (named.insert(pid).second) {
        left.push_back(
            fmt::format("process {} {}: {}", pid, stat.substr(name, name_end + 1 - name), slurp(process / "cmdline")));
      }
      kill(std::atoi(pid.c_str()), SIGKILL);
    }
    siginfo_t info;
    wait_signal(child_ended, deadline, &info);
  }
}

// A mount and IPC namespace of the guard's own: an empty /dev/shm as large as the real one, and the new namespace's
// message queues at `queues`. False when the machine does not allow it; the command then shares both with its
// neighbours.
bool own_namespaces(const fs::path& queues) {
  struct statvfs real {};
  if (statvfs("/dev/shm", &real) != 0 || unshare(CLONE_NEWNS) != 0) return false;
  // Private first, or the mounts below would reach the rest of the machine. (Fails in a chroot that is no mount point.)
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  if (unshare(CLONE_NEWIPC) != 0 || mount("mqueue", queues.c_str(), "mqueue", 0, nullptr) != 0) return false;
  const auto options = fmt::format("mode=1777,size={}", real.f_blocks * real.f_frsize);
  return mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) == 0;
}

std::set<fs::path> named_memory(const fs::path& queues) {
  std::set<fs::path> mine;
  for (const fs::path& folder : {fs::path("/dev/shm"), queues}) {
    for (const fs::path& path : entries(folder)) {
      struct stat info {};
      if (lstat(path.c_str(), &info) == 0 && info.st_uid == geteuid()) mine.insert(path);
    }
  }
  return mine;
}

// True when a living process has the segment or queue open or mapped. (A queue's link shows its name alone.)
bool in_use(const fs::path& path) {
  const std::string name = fmt::format("/{}", path.filename().string());
  for (const fs::path& process : processes()) {
    if (slurp(process / "maps").find(path.string()) != std::string::npos) return true;
    for (const fs::path& descriptor : entries(process / "fd")) {
      std::error_code gone;
      if (fs::read_symlink(descriptor, gone).string().ends_with(name)) return true;
    }
  }
  return false;
}

// Runs in the child. The command dies with the guard (ctest kills a guard that takes too long); the check of the parent
// catches a guard that died before prctl.
[[noreturn]] void become(char** command, pid_t guard, const sigset_t& mask) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != guard) _exit(2);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execvp(command[0], command);
  const int why = errno;
  lab::say("guard: cannot run {}: {}\n", command[0], std::strerror(why));
  _exit(why == ENOENT ? 127 : 126);  // as a shell says it
}

// Where /dev/shm is everybody's, guards take turns: what appears there meanwhile is then not a neighbouring test's. The turn
// is a lock on the folder, which ends with the guard however that ends; a guard inside another has the outer one's turn.
// Returns the signal that ended the wait, or 0.
int take_turn(const sigset_t& heard) {
  if (std::getenv("GUARD_HAS_TURN")) return 0;
  const int folder = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const auto deadline = Clock::now() + std::chrono::seconds(100);
  siginfo_t info;
  while (flock(folder, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK && Clock::now() < deadline) {
    const int number = wait_signal(heard, Clock::now() + std::chrono::milliseconds(20), &info);
    if (number > 0 && number != SIGCHLD) return number;
  }
  setenv("GUARD_HAS_TURN", "1", 1);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  char** command = argv + (argc > 1 && std::strcmp(argv[1], "--") == 0 ? 2 : 1);
  if (command >= argv + argc) {
    lab::say("usage: guard [--] COMMAND...\n");
    return 2;
  }
  const sigset_t heard = signals({SIGCHLD, SIGINT, SIGTERM, SIGHUP});
  sigset_t mask;
  sigprocmask(SIG_BLOCK, &heard, &mask);
  std::signal(SIGCHLD, SIG_DFL);  // inherited as ignored, it would reap for us and lose the status
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) give_up("cannot become a subreaper");

  const char* outer = std::getenv("TMPDIR");
  std::string room = std::string(outer && *outer ? outer : "/tmp") + "/guard-XXXXXX";
  if (!mkdtemp(room.data())) give_up("cannot make a folder in " + room);
  const fs::path temporary = fs::path(room) / "tmp", own_queues = fs::path(room) / "queues";
  fs::create_directory(temporary);
  fs::create_directory(own_queues);
  setenv("TMPDIR", temporary.c_str(), 1);
  const bool alone = own_namespaces(own_queues);
  const fs::path queues = alone ? own_queues : fs::path("/dev/mqueue");
  if (const int number = alone ? 0 : take_turn(heard)) {
    fs::remove_all(room);
    return 128 + number;
  }
  const std::set<fs::path> before = named_memory(queues);

  const pid_t guard = getpid(), child = fork();
  if (child < 0) give_up("cannot fork");
  if (child == 0) become(command, guard, mask);

  std::optional<int> status;
  siginfo_t info;
  while (reap(child, status), !status) {
    const int number = sigwaitinfo(&heard, &info);
    // What the terminal sends (Ctrl-C) has reached the command already: it is in the guard's process group.
    if (number > 0 && number != SIGCHLD && info.si_code != SI_KERNEL) kill(child, number);
  }
  const auto deadline = Clock::now() + grace;
  while (reap(-1, status)) {
    if (wait_signal(heard, deadline, &info) != SIGCHLD) break;
  }

  std::vector<std::string> left;
  kill_children(left);
  for (const fs::path& path : named_memory(queues)) {
    if (before.contains(path) || (!alone && in_use(path))) continue;
    const std::string shown = path.parent_path() == own_queues ? "/dev/mqueue" / path.filename() : path;
    left.push_back(shown + (alone ? "" : " (this test's, or that of one beside it)"));
  }
  std::error_code error;
  for (fs::recursive_directory_iterator it(temporary, error), end; !error && it != end; it.increment(error)) {
    left.push_back("$TMPDIR/" + it->path().lexically_relative(temporary).string());
  }
  umount(own_queues.c_str());
  fs::remove_all(room, error);
  if (error) left.push_back(fmt::format("{}: {}", room, error.message()));

  const int code = WIFSIGNALED(*status) ? 128 + WTERMSIG(*status) : WEXITSTATUS(*status);
  if (left.empty()) return code;
  lab::say("guard: {} (exit status {}) left behind:\n", command[0], code);
  for (const std::string& line : left) lab::say("  {}\n", line);
  return 1;
}
