// What every worker does before and after its entry, for each way of starting one.
#include "common/multiprocessing/process/worker.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/multiprocessing/process/process.hpp"
#include "common/multiprocessing/process/test_main.hpp"
#include "common/multiprocessing/process/test_methods.hpp"

namespace lab::start {
namespace {

using std::chrono::seconds;
using namespace std::chrono_literals;

constexpr seconds kLimit(20);  // far more than anything here takes

void say(int out, std::string_view text) { write_all(out, std::as_bytes(std::span(text))); }

int act(std::string_view what, std::span<Descriptor> given) {
  if (what == "return 256") return 256;
  if (what == "return -1") return -1;
  if (what == "throw -1") throw Exit(-1);
  if (what == "throw") throw std::runtime_error("this error is expected");
  if (what == "throw text") throw Exit("this text is expected");
  if (what == "exit") {
    at_process_exit(0, [out = given[0].release()] { say(out, "finalized"); });
    std::exit(6);
  }
  if (what == "pause") return ::pause();
  if (what == "print") {
    ::dup2(given[0].get(), STDOUT_FILENO);
    std::printf("without a line break");
  }
  if (what == "say later") {
    std::this_thread::sleep_for(50ms);
    say(given[0].get(), "later");
  }
  if (what == "leave a thread") {
    Process thread(Method::thread, "act", "say later", {given[0].get()});
    thread.start();
  }
  if (what == "write to nobody") {
    Descriptor writer = make_pipe().second;
    return ::write(writer.get(), "x", 1) < 0 && errno == EPIPE ? 7 : 8;
  }
  if (what == "tell stdin") {
    char byte = 0;
    say(given[0].get(), ::read(STDIN_FILENO, &byte, 1) == 0 ? "null" : "no stdin");
  }
  if (what == "read second") {
    std::array<char, 10> text{};
    const auto got = ::read(given[1].get(), text.data(), text.size());
    say(given[0].get(), {text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
  }
  if (what == "close second") {
    given[1].reset();
    say(given[0].get(), ::fcntl(given[2].get(), F_GETFD) >= 0 ? "third is open" : "third is closed as well");
  }
  return 0;
}
[[maybe_unused]] const bool known = register_entry("act", act);

int run(Method method, const std::string& what, bool daemon = false, std::vector<int> descriptors = {}) {
  Process process(method, "act", what, std::move(descriptors), {.daemon = daemon});
  process.start();
  process.join(kLimit);
  const int code = process.exit_code().value_or(-99);
  if (method != Method::thread) process.kill();
  return code;
}

std::string ask(Method method, const std::string& what, std::vector<int> more = {}, bool daemon = false,
                int status = 0) {
  auto [reader, writer] = make_pipe();
  more.insert(more.begin(), writer.get());
  EXPECT_EQ(run(method, what, daemon, more), status);
  writer.reset();
  std::array<char, 100> text{};
  return {text.data(), read_full(reader.get(), std::as_writable_bytes(std::span(text)))};
}

// As long as it lives, the process has this as its stdin, or none at all.
class Stdin {
 public:
  explicit Stdin(int replacement = -1) { replacement < 0 ? ::close(STDIN_FILENO) : ::dup2(replacement, STDIN_FILENO); }
  ~Stdin() { ::dup2(before_.get(), STDIN_FILENO); }

 private:
  Descriptor before_{::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)};
};

struct Ignored {
  explicit Ignored(int number) : signal(number), before(std::signal(number, SIG_IGN)) {}
  ~Ignored() { std::signal(signal, before); }
  int signal;
  void (*before)(int);
};

TEST_P(EachMethod, AStatusHasEightBits) {
  EXPECT_EQ(run(GetParam(), "return 256"), 0);
  EXPECT_EQ(run(GetParam(), "return -1"), 255);
  EXPECT_EQ(run(GetParam(), "throw -1"), 255);
}

TEST_P(EachMethod, WhatItDidNotCatchIsSaidOnStderr) {
  stop_fork_server();  // the next one inherits the stderr that is looked at here
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(GetParam(), "throw"), 1);
  EXPECT_EQ(run(GetParam(), "throw text"), 1);
  stop_fork_server();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("Process-"), std::string::npos)
      << said;  // before it, beside a sanitizer's thread, fork's warning
  EXPECT_NE(said.find("): this error is expected\n"), std::string::npos) << said;
  EXPECT_NE(said.find("\nthis text is expected\n"), std::string::npos) << said;
}

TEST_P(EachMethod, ADescriptorThatIsNotOpenIsAnErrorHereAndNothingStarts) {
  for (const int fd : {-1, 777}) {
    Process process(GetParam(), "act", "", {STDERR_FILENO, fd});
    EXPECT_THROW(process.start(), std::system_error);
    EXPECT_EQ(process.pid(), 0);
  }
}

// Whatever its parent, or a server that was there before, does about SIGPIPE.
TEST_P(EachProcess, AReaderThatHasGoneIsAnErrorAndNotTheEnd) { EXPECT_EQ(run(GetParam(), "write to nobody"), 7); }

TEST_P(EachProcess, MayEndByExit) { EXPECT_EQ(ask(GetParam(), "exit", {}, false, 6), "finalized"); }

TEST_P(EachProcess, FlushesItsStreams) { EXPECT_EQ(ask(GetParam(), "print"), "without a line break"); }

TEST_P(EachProcess, JoinsItsThreads) { EXPECT_EQ(ask(GetParam(), "leave a thread"), "later"); }

TEST_P(EachProcess, ADaemonMayHaveThreads) { EXPECT_EQ(ask(GetParam(), "leave a thread", {}, true), "later"); }

TEST_P(EachProcess, StdinIsDevNullAlsoWhereTheParentHasNone) {
  stop_fork_server();
  const Stdin none;
  EXPECT_EQ(ask(GetParam(), "tell stdin"), "null");
  stop_fork_server();
}

TEST_P(EachProcess, AListedStdinArrives) {
  auto [reader, writer] = make_pipe();
  say(writer.get(), "typed");
  const Stdin pipe(reader.get());
  EXPECT_EQ(ask(GetParam(), "read second", {STDIN_FILENO}), "typed");
}

TEST_P(EachProcess, WhatIsListedTwiceAreTwoCopies) {
  auto [reader, writer] = make_pipe();
  EXPECT_EQ(ask(GetParam(), "close second", {writer.get(), writer.get()}), "third is open");
  EXPECT_EQ(ask(GetParam(), "close second", {STDERR_FILENO, STDERR_FILENO}), "third is open");
}

// A server that ignores interrupts, and a parent that does, must not make its workers do so for an instant.
TEST_P(EachProcess, ASignalRightAfterTheStartIsNotLost) {
  const Ignored interrupts(SIGINT), terminations(SIGTERM);
  for (int i = 0; i < 20; ++i) {
    for (const auto& [send, code] : {std::pair(&Process::interrupt, 1), std::pair(&Process::terminate, -SIGTERM)}) {
      Process process(GetParam(), "act", "pause");
      process.start();
      (process.*send)();
      process.join(kLimit);
      const auto seen = process.exit_code();
      process.kill();
      if (GetParam() == Method::spawn && seen == -SIGINT) continue;  // it came before main: there was no handler yet
      ASSERT_EQ(seen, code);
    }
  }
}

}  // namespace
}  // namespace lab::start
