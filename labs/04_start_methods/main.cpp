// Lab 04 · Start methods: what does a new worker cost, and what does it inherit?                  about 25 s
//
// Question   A worker that does nothing is started and joined: as a thread, by fork, by spawn, by a fork server. What does
//            that cost, and what does it cost once the parent holds a GiB?
// Predict    The time of each in microseconds, from a parent that holds nothing and from one that holds 1024 MiB.
// Run        make lab-04
// Vary       --show tree · the traps in four_ways.hpp, stepped into one by one
// Book       High Performance Python, 3rd ed., chapter "The multiprocessing Module";
//            Mastering Python, 2nd ed., "Multiprocessing"
#include <fmt/format.h>

#include <cstring>

#include "common/harness/lab.hpp"
#include "common/multiprocessing/process/spawn.hpp"
#include "facts.hpp"
#include "four_ways.hpp"
#include "inheritance.hpp"
#include "parents.hpp"
#include "tree.hpp"

namespace {

using namespace lab::start;

// Each job is done by a process of that size, which has nothing else to do; the time is taken there.
void in_a_parent(benchmark::State& state, const std::string& job, std::int64_t mib, Pages pages = Pages::small) {
  SizedParent& parent = sized_parent(static_cast<std::size_t>(mib), pages, job);
  double seconds =
      parent.seconds(job, 1);  // what the parent's memory needs is in the caches, for the largest as for others
  while (state.KeepRunningBatch(state.max_iterations)) seconds = parent.seconds(job, state.max_iterations);
  lab::timed(seconds);
}

template <Pages pages>
void each_size(lab::Family* family, const lab::Options& options) {
  family->ArgName("mib");
  for (const std::int64_t mib : parent_sizes(options.quick(), lab::machine().real)) {
    if (pages == Pages::small || (mib > 0 && huge_pages_allowed())) family->Arg(mib);
  }
}
// The lesson's ways are told by one size; --full has all.
void lesson_sizes(lab::Family* family, const lab::Options& options) {
  options.full() ? each_size<Pages::small>(family, options) : void(family->ArgName("mib")->Arg(0));
}

const bool declared = [] {
  for (const auto& [name, todo] : kJobs) {
    const std::string& job = name;
    const bool floor = job.starts_with("bare_"), lesson = job.starts_with("lesson_");
    benchmark::RegisterBenchmark(
        job.c_str(), [&job, floor](benchmark::State& state) { in_a_parent(state, job, floor ? 0 : state.range(0)); })
        ->Apply(floor    ? lab::blocking
                : lesson ? lab::blocking_with<lesson_sizes>
                         : lab::blocking_with<each_size<Pages::small>>);
  }
  return true;
}();
void fork_huge_pages(benchmark::State& state) { in_a_parent(state, "fork", state.range(0), Pages::huge); }
BENCHMARK(fork_huge_pages)->Apply(lab::blocking_with<each_size<Pages::huge>>);

std::string at(const char* method, std::int64_t mib) { return fmt::format("{}/mib:{}", method, mib); }

lab::Measure thread_is_cheapest() {
  std::vector<lab::Point> points;
  for (const char* method : {"fork", "spawn", "forkserver"})
    points.push_back(lab::ratio(at("thread", 0), at(method, 0)).at_most(1).labelled(fmt::format("over {}", method)));
  return lab::model(points);
}

lab::Measure others_are_flat(std::int64_t largest) {
  std::vector<lab::Point> points;
  for (const char* method : {"spawn", "forkserver"})
    points.push_back(lab::ratio(at(method, largest), at(method, 0)).within(0.9, 1.1).same_code().labelled(method));
  return lab::model(points);
}

// Where the line of fork meets that of spawn, in MiB.
lab::Point crossover(std::int64_t largest) {
  return lab::compute({at("fork", 0), at("fork", largest), at("spawn", 0)}, [=](std::span<const double> t) {
    return (t[2] - t[0]) / (t[1] - t[0]) * static_cast<double>(largest);
  });
}

lab::Lab experiment(const lab::Options& options) {
  using namespace lab;
  const std::int64_t largest = parent_sizes(options.quick(), lab::machine().real).back(), quarter = largest / 4;
  const std::string too_small = largest >= 256 ? "" : "1 GiB of free memory";
  return {
      .title = "Start methods: what does a new worker cost, and what does it inherit?",
      .question = fmt::format("A worker that does nothing, started and joined: as a thread, by fork, spawn, fork "
                              "server, from parents of up to {} MiB{}. What does each cost?",
                              largest, largest < 1024 ? " (1024 takes 4 GiB of free memory, and no --quick)" : ""),
      .rows = {{.name = "thread", .value = at("thread", 0), .ask = "A thread, in microseconds?"},
               {.name = "fork", .value = at("fork", 0), .ask = "Fork, in microseconds?"},
               {.name = "spawn", .value = at("spawn", 0), .ask = "Spawn, in microseconds?"},
               {.name = "fork server", .value = at("forkserver", 0), .ask = "The fork server, in microseconds?"},
               {.name = fmt::format("fork from a parent of {} MiB", largest),
                .value = at("fork", largest),
                .ask = fmt::format("Fork from a parent of {} MiB, in microseconds?", largest)},
               {.name = "spawn of a program that loads the lab's libraries", .value = "bare_spawn_lab"},
               {.name = "spawn of an empty static program", .value = "bare_spawn_empty"}},
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
            .text = fmt::format("Fork from a parent that has touched {} MiB costs four times what it costs from {} MiB",
                                largest, quarter),
            .measure = compute({at("fork", largest), at("fork", quarter)},
                               [](std::span<const double> t) { return t[0] / (4 * t[1]); })
                           .within(0.75, 1.25)
                           .same_code(),
            .because = "fork copies an entry of the page tables for every page",
            .needs = too_small},
           {.id = "start.others_flat",
            .text = fmt::format("Spawn and fork server cost the same from a parent of {} MiB as from an empty one",
                                largest),
            .measure = others_are_flat(largest),
            .because = "what they copy or load is not their parent's",
            .needs = too_small},
           {.id = "start.crossover",
            .text = fmt::format("Up to a parent of some size fork is cheaper than spawn, from there on dearer: its "
                                "size, up to {} MiB",
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
                 {at("lesson_fork", 0), "bare_fork"},
                 {at("fork", 0), "bare_vfork"},
                 {at("spawn", 0), "bare_spawn"},
                 {at("lesson_spawn", 0), "bare_spawn_lab"},
                 {"bare_spawn_lab", "bare_spawn_empty"},
                 {"bare_spawn", "bare_spawn_empty"},
                 {at("forkserver", 0), "bare_fork_and_round_trips"},
                 {at("forkserver", largest), "bare_fork_and_round_trips"},
                 {at("lesson_forkserver", 0), "bare_fork_and_round_trips"},
                 {at("thread", 0), "bare_thread"},
                 {at("lesson_thread", 0), "bare_thread"}},
      .tables = {{"what a worker inherits", inheritance_table}, {"memory of a worker", child_memory_table}},
      .shows = {{"tree", [] {
                   fmt::print("A line a process, indented below the one that is its parent for the kernel:\n{}",
                              family_tree());
                 }}}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && !std::strcmp(argv[1], lab::four_ways::kReturnAtOnce)) return 0;
  lab::four_ways::become_worker(argc, argv);
  become_worker(argc, argv);
  set_executable(WORKER_PROGRAM);  // for a worker the libraries that measure and draw up the machine are loaded in vain
  return lab::run(argc, argv, experiment);
}
