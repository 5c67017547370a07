// A kernel that refuses: what a machine without processes, descriptors or memory to spare answers, wherever the tests run.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <csignal>
#include <cstddef>
#include <initializer_list>
#include <vector>

#include "common/os/descriptor.hpp"

namespace lab {

/// From now on this thread, and whatever it starts, gets `error` instead of these system calls: for instance
/// refuse({SYS_clone, SYS_clone3}, EAGAIN), by which a process or a thread is made. There is no way back, so call it in a child that only
/// does what is to fail. Throws std::system_error.
inline void refuse(std::initializer_list<long> calls, int error) {
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    throw_errno("cannot make the kernel refuse");
}

/// From now on this process gets EMFILE for every descriptor beyond the `spare` next ones. Throws std::system_error.
inline void run_out_of_descriptors(int spare) {
  const Descriptor next(::dup(0));  // the lowest free number
  const rlimit limit{static_cast<rlim_t>(next.get() + spare), static_cast<rlim_t>(next.get() + spare)};
  if (!next || ::setrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("cannot limit the descriptors");
}

/// As long as it lives, a signal every millisecond interrupts whatever system call this process is waiting in (EINTR).
class SignalRain {
 public:
  SignalRain() {
    struct sigaction action {};
    action.sa_handler = [](int) {};  // without SA_RESTART
    ::sigaction(SIGALRM, &action, &before_);
    set(1000);
  }
  ~SignalRain() {
    set(0);
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  static void set(suseconds_t every) {
    const itimerval interval{{0, every}, {0, every}};
    ::setitimer(ITIMER_REAL, &interval, nullptr);
  }
  struct sigaction before_ {};
};

}  // namespace lab
