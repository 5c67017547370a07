#include "common/multiprocessing/manager/manager.hpp"

#include <array>
#include <csignal>

#include "common/machine/placement.hpp"
#include "common/multiprocessing/manager/handshake.hpp"
#include "common/multiprocessing/manager/server.hpp"
#include "common/multiprocessing/process/worker.hpp"
#include "common/os/say.hpp"

namespace lab::manager {

Manager::Manager(Options options)
    : key_(options.key ? checked(*options.key) : random_key()), client_(Client::of(folder_.path(), key_)) {
  if (const int threads = start::threads_alive(); threads > 1)
    say("warning: a manager's server is forked from a process with {} threads; make it before any thread starts\n",
        threads);
  const Descriptor listener = folder_.listen(1024), owner = open_pidfd(::getpid());
  const start::HeldSignals held;  // until the server ignores interrupts
  const pid_t server = fork_child(false);
  if (server == 0) {
    leave([&] {
      std::signal(SIGINT, SIG_IGN);  // Ctrl-C is for the owner to handle
      std::signal(SIGPIPE, SIG_IGN);
      ::pthread_sigmask(SIG_SETMASK, &held.before, nullptr);
      start::make_stdin(start::open_null());
      start::close_all_but(
          {listener.get(), owner.get()});  // a pipe's end kept here would be an end-of-file that never comes there
      if (options.cpu >= 0) bind_to(std::array{options.cpu});
      // Never destroyed: its threads still serve when it is over, until the process ends.
      (new Server(key_))->serve(listener, owner);
      folder_.remove();  // its maker was killed, and cannot
    });
  }
  server_ = ChildProcess(server);
}

void Manager::shutdown() {
  if (!server_.ours()) return;
  server_.send_signal(SIGTERM);
  server_.wait(Clock::now() + std::chrono::seconds(1));
  server_ = ChildProcess();  // and SIGKILL, if it is still there
  folder_.remove();
}

}  // namespace lab::manager
