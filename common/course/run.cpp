#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>

#include "common/course/course.hpp"
#include "common/os/say.hpp"
#include "common/os/team.hpp"

namespace lab::course {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// The signals that end a run, and SIGCHLD, are taken with sigtimedwait while this lives: no handler, no race.
/// Where we were started with SIGCHLD ignored, the kernel would reap the labs itself and their statuses be lost.
class TakenSignals {
 public:
  TakenSignals() : outer_reaping_(std::signal(SIGCHLD, SIG_DFL)) {
    sigemptyset(&taken_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&taken_, signal);
    sigprocmask(SIG_BLOCK, &taken_, &outer_);
  }
  ~TakenSignals() {
    sigprocmask(SIG_SETMASK, &outer_, nullptr);
    std::signal(SIGCHLD, outer_reaping_);
  }
  TakenSignals(const TakenSignals&) = delete;
  TakenSignals& operator=(const TakenSignals&) = delete;

  /// The signal that asks to stop, or 0 when none came within 100 ms or a child changed its state.
  int next() const {
    const timespec slice{0, 100'000'000};
    const int signal = sigtimedwait(&taken_, nullptr, &slice);
    return signal == SIGCHLD || signal < 0 ? 0 : signal;
  }
  const sigset_t& outer() const { return outer_; }

 private:
  sigset_t taken_, outer_;
  void (*outer_reaping_)(int);
};

struct Ending {
  int status = 0;       ///< as from waitpid
  int interrupted = 0;  ///< the signal that stopped the whole run
  bool hung = false;
};

/// Starts a lab in a process group of its own, so that one signal reaches all its workers and Ctrl-C reaches it once.
pid_t start(const std::vector<std::string>& command, const sigset_t& mask) {
  std::vector<char*> words;
  for (const auto& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child > 0) {
    setpgid(child, child);  // here and in the child: whichever comes first, the group exists before it is needed
    return child;
  }
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before prctl took effect
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0) _exit(127);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execv(words[0], words.data());
  _exit(127);
}

/// Workers of a lab that died get a second to notice it and clean up; what is left of its group then is killed.
void sweep(pid_t group) {
  for (int i = 0; i < 20 && kill(-group, 0) == 0; ++i) std::this_thread::sleep_for(milliseconds(50));
  kill(-group, SIGKILL);
}

Ending run_lab(const std::vector<std::string>& command, const TakenSignals& signals, const Limits& limits) {
  const pid_t lab = start(command, signals.outer());
  Ending ending;
  auto deadline = Clock::now() + limits.lab;
  pid_t ended = 0;
  while ((ended = wait_for_child(lab, &ending.status, WNOHANG)) == 0) {
    if (Clock::now() > deadline) {
      ending.hung = !ending.interrupted;
      kill(-lab, SIGKILL);
      ended = wait_for_child(lab, &ending.status);
      break;
    }
    const int signal = signals.next();
    if (!signal) continue;
    kill(-lab, signal);
    if (!ending.interrupted) deadline = Clock::now() + limits.stop;  // a second Ctrl-C does not prolong it
    ending.interrupted = signal;
  }
  const int error = errno;
  sweep(lab);
  if (ended < 0) throw std::system_error(error, std::generic_category(), "cannot learn how a lab ended");
  return ending;
}

std::string minutes(Clock::duration time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

std::string why_failed(const Ending& ending, const Limits& limits) {
  if (ending.hung) return fmt::format("hung, and was killed after {}", minutes(limits.lab));
  if (WIFSIGNALED(ending.status)) {
    return fmt::format("was killed by signal {} ({})", WTERMSIG(ending.status), strsignal(WTERMSIG(ending.status)));
  }
  const int status = WEXITSTATUS(ending.status);
  return fmt::format("ended with status {}{}", status,
                     status == 2     ? " (options it does not know)"
                     : status == 127 ? " (it could not be started)"
                                     : "");
}

}  // namespace

int run(const House& house, const std::vector<std::string>& lab_arguments, Limits limits) {
  const auto labs = find_labs(house);
  const auto begin = Clock::now();
  std::vector<std::string> failed, skipped;
  std::size_t ran = 0;
  {
    const TakenSignals signals;
    Clock::duration spent{};
    for (std::size_t i = 0; i < labs.size(); ++i) {
      const auto& lab = labs[i];
      const auto place = fmt::format("[{}/{}] {}", i + 1, labs.size(), lab.name);
      if (access(lab.executable.c_str(), X_OK) != 0) {
        say("{}: skipped, for {} was not built; configuring says why.\n", place, lab.executable.string());
        skipped.push_back(lab.name);
        continue;
      }
      const auto each = ran ? spent / static_cast<long>(ran) : std::chrono::seconds(20);
      say("{}: {} · {} gone, about {} left\n", place, lab.title, minutes(Clock::now() - begin),
          minutes(each * static_cast<long>(labs.size() - i)));
      std::vector<std::string> command{lab.executable.string(), "--no-predict", "--out", lab.record_file.string()};
      command.insert(command.end(), lab_arguments.begin(), lab_arguments.end());
      const auto start_of_lab = Clock::now();
      const auto ending = run_lab(command, signals, limits);
      const auto took = Clock::now() - start_of_lab;
      if (ending.interrupted) {
        say("\n{}: stopped by {}. The records of the labs before it are kept.\n", place,
            ending.interrupted == SIGINT ? "Ctrl-C" : strsignal(ending.interrupted));
        return 128 + ending.interrupted;
      }
      if (!ending.hung && WIFEXITED(ending.status) && WEXITSTATUS(ending.status) == 77) {
        say("{}: skipped, for something it needs is missing (see above).\n", place);
        skipped.push_back(lab.name);
        continue;
      }
      spent += took;
      ++ran;
      const bool fine = !ending.hung && WIFEXITED(ending.status) && WEXITSTATUS(ending.status) == 0;
      if (!fine) failed.push_back(fmt::format("{} {}", lab.name, why_failed(ending, limits)));
      say("{}: {} in {}\n", place, fine ? "done" : why_failed(ending, limits), minutes(took));
    }
  }
  say("{} of {} labs ran in {}.\n", ran, labs.size(), minutes(Clock::now() - begin));
  if (!skipped.empty()) say("Skipped: {}.\n", fmt::join(skipped, ", "));
  for (const auto& sentence : failed) say("Failed: {}.\n", sentence);
  if (ran == 0) say("No lab ran: build them first (make all), or name their folder with --bin DIR.\n");
  const int scored = write_scoreboard(house);
  return failed.empty() && ran > 0 ? scored : 1;
}

}  // namespace lab::course
