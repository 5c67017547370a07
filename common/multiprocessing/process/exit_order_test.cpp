// How the first process of a program ends. Each test is a program of its own, whose stderr and status are looked at.
#include "common/multiprocessing/process/exit_order.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "common/multiprocessing/process/process.hpp"
#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/multiprocessing/process/test_main.hpp"

namespace lab::start {
namespace {

using namespace std::chrono_literals;
using testing::ExitedWithCode;

void say(const std::string& text) {
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, text.data(), text.size());
}
int end_later(std::string_view, std::span<Descriptor>) {
  std::this_thread::sleep_for(50ms);
  say("worker ");
  return 0;
}
int end_never(std::string_view, std::span<Descriptor>) { return ::pause(); }
[[maybe_unused]] const bool known = register_entry("end_later", end_later) && register_entry("end_never", end_never);

class EachMethod : public testing::TestWithParam<Method> {};
INSTANTIATE_TEST_SUITE_P(Methods, EachMethod, testing::ValuesIn(kMethods),
                         [](const auto& method) { return to_string(method.param); });

[[noreturn]] void program(Method method) {
  static Process worker(method, "end_later"), daemon(method, "end_never", "", {}, {.daemon = true});
  worker.start();
  daemon.start();
  for (const int priority : {-100, 0, 10, -5}) at_process_exit(priority, [=] { say(std::to_string(priority) + " "); });
  at_process_exit(10, [] { say("newer "); });
  if (method != Method::thread) at_process_exit(-1, [] { say(std::to_string(*daemon.exit_code()) + " "); });
  std::exit(3);
}

TEST_P(EachMethod, FinalizersThenWorkersThenTheOtherFinalizers) {
  EXPECT_EXIT(program(GetParam()), ExitedWithCode(3),
              GetParam() == Method::thread ? "newer 10 0 worker -5 -100" : "newer 10 0 worker -15 -5 -100");
}

// What a temporary folder's finalizer is to files: the last to go, after the children.
[[noreturn]] void program_with_segment() {
  static const std::string name = "/lab04-test-" + std::to_string(::getpid()) + "-late";
  const Descriptor segment(::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600));
  ResourceTracker::shared().add(Resource::shared_memory, name);
  at_process_exit(-100, [] {
    if (::shm_unlink(name.c_str()) != 0) say("the tracker was faster");
    ResourceTracker::shared().forget(Resource::shared_memory, name);
  });
  Process worker(Method::spawn, "end_later");
  worker.start();
  std::exit(0);
}

TEST(ExitOrder, TheTrackerEndsAfterTheLastFinalizer) {
  EXPECT_EXIT(program_with_segment(), ExitedWithCode(0), "^worker $");
}

TEST(ExitOrder, AForkedChildRunsNothingOfItsParents) {
  EXPECT_EXIT(
      {
        at_process_exit(0, [] { say("parent"); });
        if (::fork() == 0) std::exit(4);
        int status = 0;
        ::wait(&status);
        std::exit(WEXITSTATUS(status));
      },
      ExitedWithCode(4), "^parent$");
}

}  // namespace
}  // namespace lab::start
