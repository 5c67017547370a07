// Starting workers on a machine that refuses: without processes, descriptors or peace from signals to spare.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/multiprocessing/process/process.hpp"
#include "common/multiprocessing/process/resource_tracker.hpp"
#include "common/multiprocessing/process/test_main.hpp"
#include "common/multiprocessing/process/test_nursery.hpp"
#include "common/os/say.hpp"
#include "common/os/test_child.hpp"
#include "common/os/test_faults.hpp"

namespace lab::start {
namespace {

using namespace std::chrono_literals;

int return_7(std::string_view, std::span<Descriptor>) { return 7; }
int wait_long(std::string_view, std::span<Descriptor>) {
  while (true) ::pause();
}
[[maybe_unused]] const bool known = register_entry("return_7", return_7) && register_entry("wait_long", wait_long);

// What a child said on stderr and how it ended.
std::string told_by_child(const std::function<void()>& body) {
  testing::internal::CaptureStderr();
  const std::string end = end_of(lab::start_child(body));
  return testing::internal::GetCapturedStderr() + end;
}

void refuse_processes() { refuse({SYS_clone, SYS_clone3}, EAGAIN); }

class OnAFailingSystem : public testing::TestWithParam<Method> {};
INSTANTIATE_TEST_SUITE_P(Methods, OnAFailingSystem, testing::ValuesIn(kMethods),
                         [](const auto& method) { return to_string(method.param); });

TEST_P(OnAFailingSystem, NoProcessToBeHadIsASentenceAndNothingIsLeft) {
  const std::string told = told_by_child([] {
    refuse_processes();
    Process first(GetParam(), "return_7"), second(GetParam(), "return_7");
    EXPECT_THROW(first.start(), std::system_error);
    EXPECT_EQ(first.pid(), 0);
    run_exit_order();
    second.start();
  });
  EXPECT_NE(told.find("cannot "), std::string::npos) << told;
  EXPECT_TRUE(told.ends_with(": Resource temporarily unavailable\nstatus 1")) << told;
}

// Whichever descriptor is one too many: an error here, or in the worker, or none; and never a wait, or a child left.
TEST_P(OnAFailingSystem, EveryDescriptorTooManyIsAnErrorAndNothingIsLeft) {
  int worked = 0;
  for (int spare = 0; spare <= 14; ++spare) {
    const std::string told = told_by_child([=] {
      close_all_but({});
      run_out_of_descriptors(spare);
      std::optional<int> code;
      try {
        Process process(GetParam(), "return_7", "", {STDERR_FILENO});
        process.start();
        process.join(20s);
        code = process.exit_code();
        if (!code) throw std::logic_error("hangs");
      } catch (const std::system_error& error) {  // EPIPE: it is the fork server that could not start
        if (error.code() != std::errc::too_many_files_open && error.code() != std::errc::broken_pipe) throw;
        code = 1;
        say("{}\n", error.what());
      }
      run_exit_order();
      if (!childless()) throw std::logic_error("a child is left");
      ::_exit(*code);
    });
    worked += told.ends_with("status 7");
    const bool said = told.ends_with("\nstatus 1") || told.ends_with("\nstatus 127");  // 127: the loader's
    EXPECT_TRUE(said || told.ends_with("status 7")) << spare << " to spare: " << told;
  }
  EXPECT_GT(worked, 0);
  EXPECT_LT(worked, 15);
}

TEST_P(OnAFailingSystem, SignalsInterruptNothing) {
  const SignalRain rain;
  for (int i = 0; i < 20; ++i) {
    Process process(GetParam(), "return_7");
    process.start();
    process.join(30s);
    EXPECT_EQ(process.exit_code(), 7);
  }
  const std::string told = told_by_child([] {
    const SignalRain childs;
    Process process(GetParam(), "return_7");
    process.start();
    run_exit_order();
    ::_exit(childless() ? *process.exit_code() : 1);
  });
  EXPECT_TRUE(told.ends_with("status 7")) << told;  // before it, under a sanitizer with a thread of its own, a warning
  if (GetParam() == Method::thread) return;         // cannot be ended
  Process waits(GetParam(), "wait_long");
  waits.start();
  waits.join(20ms);
  EXPECT_TRUE(waits.alive());
  waits.kill();
  waits.join(30s);
  EXPECT_EQ(waits.exit_code(), -SIGKILL);
}

// A fork server as it would be on such a machine, which it alone is on.
struct FailingServer {
  explicit FailingServer(const std::function<void()>& fail) {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    const pid_t server = lab::start_child([&, &socket = theirs] {
      close_all_but({socket.get()});
      Descriptor lowest(::dup(socket.get()));  // so that the spare ones are counted from here
      if (lowest.get() < socket.get()) socket = std::move(lowest);
      lowest.reset();
      fail();
      serve_forks(std::move(socket));
    });
    theirs.reset();
    nursery.emplace(ChildProcess(server), std::move(ours));
  }
  std::error_code refusal(std::vector<int> descriptors = {}) const {
    try {
      nursery->start("return_7", "", descriptors);
    } catch (const std::system_error& error) {
      return error.code();
    }
    return {};
  }
  std::optional<TestNursery> nursery;
};

TEST(FailingForkServer, WithoutProcessesSaysSoAndLivesOn) {
  const FailingServer server(refuse_processes);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(server.refusal(), std::errc::resource_unavailable_try_again);
}

TEST(FailingForkServer, WithoutDescriptorsSaysSoAndLivesOn) {
  const FailingServer server([] { run_out_of_descriptors(4); });  // a worker takes two: its client and its pidfd
  // An exit code is told before the server has closed what its worker took: it may refuse for a moment longer.
  const auto start = [&](const char* entry) {
    for (const Deadline deadline = soon();;) {
      try {
        return server.nursery->start(entry);
      } catch (const std::system_error&) {
        if (Clock::now() > deadline) throw;
      }
    }
  };
  EXPECT_EQ(server.refusal({0, 1, 2}), std::errc::too_many_files_open);
  EXPECT_EQ(server.refusal({0, 1}), std::error_code());
  std::vector<TestWorker> workers;
  for (int i = 0; i < 2; ++i) workers.push_back(start("wait_long"));
  EXPECT_EQ(server.refusal(), std::errc::too_many_files_open);  // not even room for our socket
  ::kill(workers.back().pid, SIGKILL);
  EXPECT_EQ(workers.back().exit_code(soon()), -SIGKILL);
  EXPECT_EQ(start("return_7").exit_code(soon()), 7);
}

TEST(FailingForkServer, InterruptedServesOn) {
  const FailingServer server([] { new SignalRain; });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(server.nursery->start("return_7").exit_code(soon()), 7);
}

TEST(FailingTracker, ThatCannotBeStartedIsAnErrorEachTimeAndNothingIsLeft) {
  EXPECT_EQ(told_by_child([] {
              refuse_processes();
              ResourceTracker tracker;
              for (int i = 0; i < 3; ++i) EXPECT_THROW(tracker.add(Resource::shared_memory, "/x"), std::system_error);
              EXPECT_EQ(tracker.stop(), -1);
              if (testing::Test::HasFailure() || !childless()) ::_exit(1);
            }),
            "status 0");
}

TEST(FailingTracker, IsToldWhateverSignalsCome) {
  const SignalRain rain;
  ResourceTracker tracker;
  for (int i = 0; i < 2000; ++i) {
    tracker.add(Resource::semaphore, "/x");
    tracker.forget(Resource::semaphore, "/x");
  }
  EXPECT_EQ(tracker.stop(), ResourceTracker::clean);
}

}  // namespace
}  // namespace lab::start
