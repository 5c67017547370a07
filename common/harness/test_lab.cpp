// The lab that lab_test runs: two variants of which one does a tenth more, a pair of workers, and mishaps on request.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <stdexcept>

#include "common/harness/lab.hpp"
#include "common/kernels/busy_wait.hpp"

namespace {

std::string mishap = "none", counts = "fixed";
constexpr std::uint64_t kCounts = 100'000;

void plain(benchmark::State& state) {
  for (auto _ : state) lab::busy_wait(kCounts);
  static int calls = 0;
  lab::expect(state, mishap != "wrong" || ++calls % 2 == 1, "every second answer is wrong");
  state.counters["answer"] = 42;
}
BENCHMARK(plain)->Apply(lab::busy);

void tenth_more(benchmark::State& state) {
  for (auto _ : state) lab::busy_wait(kCounts * 11 / 10);
}
BENCHMARK(tenth_more)->Apply(lab::busy);

std::uint64_t work(int worker) {
  if (worker == 1 && mishap == "kill") ::kill(::getpid(), SIGKILL);
  if (worker == 1 && mishap == "throw") throw std::runtime_error("the disk is on fire");
  while (mishap == "wait") ::pause();
  lab::busy_wait(kCounts);
  return 1;
}

void pair(benchmark::State& state) {
  if (mishap == "hang") {
    lab::Team team{.size = 2, .deadline = std::chrono::milliseconds(300)};
    lab::run_team(team, [](int worker) {
      while (worker == 1) ::pause();
      return std::uint64_t{0};
    });
  }
  lab::expect(state, mishap != "early", "it was wrong before it began");
  const auto reports = lab::team(state, lab::Vehicle::processes, 2, work);
  const auto each = static_cast<std::uint64_t>(state.max_iterations);
  lab::expect(state, reports[0].answer == each && reports[1].answer == each, "a worker did not do all of its work");
}
void counts_if_wanted(lab::Family* family, const lab::Options& options) {
  if (counts == "chosen") lab::each_worker_count(family, options);
}
BENCHMARK(pair)->Apply(lab::blocking_with<counts_if_wanted>);

// A worker asks a server for 2 ms of its CPU time, however long that takes, and waits.
constexpr std::int64_t kServed = 2'000'000;
void asks_a_server(benchmark::State& state) {
  auto [asks, answers] = lab::make_socket_pair(SOCK_STREAM);
  const pid_t pid = lab::fork_child();
  if (pid == 0) {
    lab::leave([&, &socket = answers] {
      for (std::array<std::byte, 1> byte; lab::read_full(socket.get(), byte) == 1; lab::write_all(socket.get(), byte)) {
        const std::int64_t begin = lab::now_ns(CLOCK_PROCESS_CPUTIME_ID);
        while (lab::now_ns(CLOCK_PROCESS_CPUTIME_ID) < begin + kServed) continue;
      }
    });
  }
  const lab::ChildProcess server(pid);
  lab::team(state, lab::Vehicle::processes, 1, [&, &socket = asks](int) {
    std::array<std::byte, 1> byte{};
    lab::write_all(socket.get(), byte);
    return lab::read_full(socket.get(), byte);
  });
}

lab::Lab experiment(const lab::Options&) {
  if (mishap == "server") benchmark::RegisterBenchmark("asks_a_server", asks_a_server)->Apply(lab::blocking);
  return {.title = "A lab for tests",
          .question = "Is a tenth more a tenth slower?",
          .rows = {{.name = "plain", .value = "plain"},
                   {.name = "a tenth more",
                    .value = lab::ratio("tenth_more", "plain"),
                    .unit = "x",
                    .ask = "How much slower?"}},
          .claims = {{.id = "test.tenth",
                      .text = "A tenth more",
                      .measure = lab::ratio("tenth_more", "plain").within(1.05, 1.15)},
                     {.id = "test.seen", .text = "A fact", .measure = lab::fact([] {
                                                             return lab::Seen{true, "1 of 1"};
                                                           })},
                     {.id = "test.right", .text = "Nothing is lost", .measure = lab::correctness([] {
                                                                       return lab::Seen{mishap != "lost", "counted"};
                                                                     })},
                     {.id = "test.needs",
                      .text = "Never here",
                      .measure = lab::ratio("no_such", "plain").at_most(1),
                      .needs = "a moon"}},
          .floors = {{"pair", "plain"}},
          .tables = {{"greeting", [] { return std::string("hello"); }}},
          .trace = [](lab::Trace& trace) { trace.span("holds", 0, 1'000, 2'000); },
          .prepare =
              [] {
                if (mishap == "missing") throw lab::MissingPrerequisite("there is no moon");
              }};
}

}  // namespace

int main(int argc, char** argv) {
  return lab::run(argc, argv, experiment,
                  {{"--mishap",
                    "what goes wrong",
                    &mishap,
                    {"none", "wrong", "lost", "kill", "throw", "hang", "wait", "early", "missing", "server"}},
                   {"--counts", "whether a variant takes numbers of workers", &counts, {"fixed", "chosen"}}});
}
