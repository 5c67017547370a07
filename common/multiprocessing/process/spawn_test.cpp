// What a freshly started executable may do, and when.
#include "common/multiprocessing/process/spawn.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "common/multiprocessing/process/process.hpp"
#include "common/multiprocessing/process/test_main.hpp"

namespace lab::start {
namespace {

// Runs before main, and so before become_worker(), as does everything in the main of a program that forgot it.
const std::string answer_before_main = [] {
  if (!bootstrapping()) return std::string("no worker");
  try {
    Process(Method::fork, "tell_what_it_was_told").start();
  } catch (const Misuse& refusal) {
    return std::string(refusal.what());
  }
  return std::string("started");
}();

int tell_what_it_was_told(std::string_view, std::span<Descriptor> out) {
  write_all(out[0].get(), std::as_bytes(std::span(answer_before_main)));
  Process child(Method::spawn, "nothing");
  child.start();  // its entry runs: now it may
  child.join();
  return child.exit_code().value();
}
int nothing(std::string_view, std::span<Descriptor>) { return 0; }
[[maybe_unused]] const bool known =
    register_entry("tell_what_it_was_told", tell_what_it_was_told) && register_entry("nothing", nothing);

// A worker that dies before main, as by a broken library, leaves an argument half read: its parent must not wait for more.
const bool crashed = std::getenv("LAB_TEST_CRASH_EARLY") && bootstrapping() && ::raise(SIGKILL) != 0;

TEST(Spawn, AWorkerThatDiesBeforeItHasReadItsArgumentHasAnExitCode) {
  Process(Method::spawn, "nothing").start();  // so that the resource tracker is there, which would crash as well
  ::setenv("LAB_TEST_CRASH_EARLY", "1", 1);
  for (const std::size_t size : {std::size_t{10}, std::size_t{8} << 20}) {
    Process process(Method::spawn, "nothing", std::string(size, 'x'));
    EXPECT_NO_THROW(process.start());
    process.join(std::chrono::seconds(20));
    EXPECT_EQ(process.exit_code(), -SIGKILL);
  }
  ::unsetenv("LAB_TEST_CRASH_EARLY");
  EXPECT_FALSE(crashed);
}

TEST(Spawn, AWorkerThatHasNotReachedItsEntryMayStartNone) {
  for (const Method method : {Method::spawn, Method::forkserver}) {
    auto [reader, writer] = make_pipe();
    Process process(method, "tell_what_it_was_told", "", {writer.get()});
    process.start();
    writer.reset();
    std::array<char, 200> text{};
    const std::string said(text.data(), read_full(reader.get(), std::as_writable_bytes(std::span(text))));
    process.join();
    EXPECT_EQ(process.exit_code(), 0) << to_string(method);
    EXPECT_NE(said.find("become_worker()?"), std::string::npos) << to_string(method) << ": " << said;
  }
  EXPECT_EQ(answer_before_main, "no worker");
}

}  // namespace
}  // namespace lab::start
