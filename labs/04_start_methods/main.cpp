// Lab 04 · Start methods: what does a new worker cost, and what does it inherit?                  about 25 s
//
// Question   A worker that does nothing is started and joined: as a thread, by fork, by spawn, by a fork server. What does
//            that cost, and what does it cost once the parent holds a GiB?
// Predict    The time of each in microseconds, from a parent that holds nothing and from one that holds 1024 MiB.
// Run        make lab-04
// Vary       --show tree · the rules in process.hpp, broken one by one
// Book       High Performance Python, 3rd ed., chapter "The multiprocessing Module";
//            Mastering Python, 2nd ed., "Multiprocessing"
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/harness/lab.hpp"
#include "common/multiprocessing/process/spawn.hpp"
#include "facts.hpp"
#include "floors.hpp"
#include "inheritance.hpp"
#include "sized_parent.hpp"
#include "tree.hpp"

namespace {

using namespace lab::start;

// Each job is done by a process of that size, which has nothing else to do; the time is taken there.
void in_a_parent(benchmark::State& state, const char* job, std::int64_t mib = 0, Pages pages = Pages::small) {
  SizedParent& parent = sized_parent(static_cast<std::size_t>(mib), pages, job);
  double seconds = 0;
  while (state.KeepRunningBatch(state.max_iterations)) seconds = parent.seconds(job, state.max_iterations);
  lab::timed(seconds);
}

void each_size(lab::Family* family, const lab::Options&) {
  family->ArgName("mib");
  for (const std::int64_t mib : parent_sizes()) family->Arg(mib);
}
void each_huge_size(lab::Family* family, const lab::Options&) {
  family->ArgName("mib");
  for (const std::int64_t mib : parent_sizes()) {
    if (mib > 0 && huge_pages_allowed()) family->Arg(mib);
  }
}

void thread(benchmark::State& state) { in_a_parent(state, "thread", state.range(0)); }
BENCHMARK(thread)->Apply(lab::blocking_with<each_size>);
void fork(benchmark::State& state) { in_a_parent(state, "fork", state.range(0)); }
BENCHMARK(fork)->Apply(lab::blocking_with<each_size>);
void fork_huge_pages(benchmark::State& state) { in_a_parent(state, "fork", state.range(0), Pages::huge); }
BENCHMARK(fork_huge_pages)->Apply(lab::blocking_with<each_huge_size>);
void spawn(benchmark::State& state) { in_a_parent(state, "spawn", state.range(0)); }
BENCHMARK(spawn)->Apply(lab::blocking_with<each_size>);
void forkserver(benchmark::State& state) { in_a_parent(state, "forkserver", state.range(0)); }
BENCHMARK(forkserver)->Apply(lab::blocking_with<each_size>);

void bare_fork(benchmark::State& state) { in_a_parent(state, "fork_exit_wait"); }
BENCHMARK(bare_fork)->Apply(lab::blocking);
void bare_vfork(benchmark::State& state) { in_a_parent(state, "vfork_exit_wait"); }
BENCHMARK(bare_vfork)->Apply(lab::blocking);
void bare_spawn(benchmark::State& state) { in_a_parent(state, "spawn_return_at_once"); }
BENCHMARK(bare_spawn)->Apply(lab::blocking);
void bare_thread(benchmark::State& state) { in_a_parent(state, "thread_create_join"); }
BENCHMARK(bare_thread)->Apply(lab::blocking);
void bare_fork_and_round_trips(benchmark::State& state) { in_a_parent(state, "fork_and_two_round_trips"); }
BENCHMARK(bare_fork_and_round_trips)->Apply(lab::blocking);

std::string at(const char* method, std::int64_t mib) { return fmt::format("{}/mib:{}", method, mib); }

// What fork costs more than with an empty parent, over what the line through the largest parent says.
lab::Measure fork_grows_others_do_not(std::int64_t largest) {
  std::vector<lab::Point> points;
  for (const std::int64_t mib : parent_sizes()) {
    if (mib == 0) continue;
    for (const char* method : {"spawn", "forkserver"}) {
      points.push_back(lab::ratio(at(method, mib), at(method, 0))
                           .within(0.9, 1.1)
                           .labelled(fmt::format("{} from {} MiB over 0", method, mib)));
    }
    if (mib == largest) continue;
    const double share = static_cast<double>(mib) / static_cast<double>(largest);
    points.push_back(lab::compute({at("fork", 0), at("fork", mib), at("fork", largest)},
                                  [=](std::span<const double> t) { return (t[1] - t[0]) / (t[2] - t[0]) / share; })
                         .within(0.75, 1.25)
                         .labelled(fmt::format("fork's growth at {} MiB over its share of that at {}", mib, largest)));
  }
  if (largest > 0)
    points.push_back(lab::ratio(at("fork", largest), at("fork", 0))
                         .at_least(2)
                         .labelled(fmt::format("fork from {} MiB over 0", largest)));
  return lab::model(points);
}

// Where the line of fork meets that of spawn, in MiB.
lab::Point crossover(std::int64_t largest) {
  return lab::compute({at("fork", 0), at("fork", largest), at("spawn", 0)}, [=](std::span<const double> t) {
    return (t[2] - t[0]) / (t[1] - t[0]) * static_cast<double>(largest);
  });
}

lab::Measure thread_is_cheapest() {
  std::vector<lab::Point> points;
  for (const char* method : {"fork", "spawn", "forkserver"})
    points.push_back(lab::ratio(at("thread", 0), at(method, 0)).at_most(1).labelled(fmt::format("over {}", method)));
  return lab::model(points);
}

lab::Lab experiment(const lab::Options& options) {
  using namespace lab;
  if (options.quick()) limit_parents(256);  // touching a GiB takes most of the 5 s that --quick has
  const std::int64_t largest = parent_sizes().back();
  const std::string too_small = largest >= 64 ? "" : "256 MiB of free memory";
  return {.title = "Start methods: what does a new worker cost, and what does it inherit?",
       .question = fmt::format("A worker that does nothing, started and joined: as a thread, by fork, spawn, fork "
                               "server, from parents of up to {} MiB{}. What does each cost?",
                               largest, largest < 1024 ? " (1024 takes 4 GiB of free memory, and no --quick)" : ""),
       .rows = {{.name = "thread", .value = at("thread", 0), .ask = "A thread, in microseconds?"},
                {.name = "fork", .value = at("fork", 0), .ask = "Fork, in microseconds?"},
                {.name = "spawn", .value = at("spawn", 0), .ask = "Spawn, in microseconds?"},
                {.name = "fork server", .value = at("forkserver", 0), .ask = "The fork server, in microseconds?"},
                {.name = fmt::format("fork from a parent of {} MiB", largest),
                 .value = at("fork", largest),
                 .ask = fmt::format("Fork from a parent of {} MiB, in microseconds?", largest)}},
       .claims =
           {{.id = "start.thread_cheapest",
             .text = "A thread is started and joined sooner than any process",
             .measure = thread_is_cheapest(),
             .because = "it shares everything: nothing is copied, nothing loaded"},
            {.id = "start.spawn_slower",
             .text = "From a small parent, spawn costs more than fork",
             .measure = ratio(at("spawn", 0), at("fork", 0)).at_least(1),
             .because = "a fresh program is loaded and linked; a copy is there already"},
            {.id = "start.fork_grows",
             .text = "Fork's cost grows in proportion to the memory its parent has touched; those of spawn and fork "
                     "server do not",
             .measure = fork_grows_others_do_not(largest),
             .because = "fork copies an entry of the page tables for every page",
             .needs = too_small},
            {.id = "start.crossover",
             .text = fmt::format(
                 "Up to a parent of some size fork is cheaper than spawn, from there on dearer: its size, up to {} MiB",
                 largest),
             .measure = crossover(largest).within(1, static_cast<double>(largest)),
             .because = "one pays for the parent, the other for the program",
             .needs = too_small,
             .unit = " MiB"},
            {.id = "start.copy_on_write",
             .text = "A forked worker's private memory grows by the pages it writes to, within 10 %",
             .measure = fact(copies_what_it_touches),
             .because = "both share a page until one of them writes"},
            {.id = "start.crash_is_contained",
             .text = "A crash ends the worker it happens in, and nobody else",
             .measure = correctness(crash_is_contained)},
            {.id = "start.leak",
             .text = "A killed process leaves its segment and semaphore behind; a resource tracker removes them",
             .measure = correctness(names_outlive_their_makers),
             .because = "names in /dev/shm belong to no process"},
            {.id = "start.fork_with_threads",
             .text = "A lock that another thread holds stays locked in a forked worker; spawned and server-forked ones "
                     "have it free",
             .measure = correctness(forked_locks_stay_locked),
             .because = "fork copies the lock, but only the thread that calls it"}},
       .floors = {{at("fork", 0), "bare_fork"},
                  {at("fork", 0), "bare_vfork"},
                  {at("spawn", 0), "bare_spawn"},
                  {at("forkserver", 0), "bare_fork_and_round_trips"},
                  {at("forkserver", largest), "bare_fork_and_round_trips"},
                  {at("thread", 0), "bare_thread"}},
       .tables = {{"what a worker inherits", inheritance_table}, {"memory of a worker", child_memory_table}},
       .shows = {{"tree", [] {
                    fmt::print("A line a process, indented below the one that is its parent for the kernel:\n{}",
                               family_tree());
                  }}}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && !std::strcmp(argv[1], kReturnAtOnce)) return 0;
  become_worker(argc, argv);
  return lab::run(argc, argv, experiment);
}
