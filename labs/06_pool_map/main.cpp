// Lab 06 · Pool: which of eight ways to hand work to a pool?                        about 25 s
//
// Question   apply, map, imap, imap_unordered, starmap and their asynchronous forms: what does a task cost in each,
//            when does the first result come, and what happens to a task whose worker is killed?
// Predict    Twelve tasks that wait 5 ms each, on four workers: how long by map, how long by apply in a loop?
// Run        make lab-06
// Vary       --workers 1,2,4,8 · --show order · --show squares · kWindow in common/multiprocessing/pool/pipeline.cpp
// Book       Mastering Python, 1st ed., "Multiprocessing", pools of workers;
//            High Performance Python, "The multiprocessing Module", finding primes (map, imap, imap_unordered)
#include <fmt/format.h>

#include "common/os/say.hpp"
#include "demonstrations.hpp"
#include "experiments.hpp"

namespace {

using namespace lab::pool;
using CPythonPool = lab::faithful::Pool;

void one_and_many(lab::Family* family, const lab::Options& options) {
  family->ArgName("workers");
  for (const std::int64_t workers : lab::worker_counts(options, {1, many()})) family->Arg(workers);
}
void processes_and_threads(lab::Family* family, const lab::Options&) { family->ArgName("threads")->Arg(0)->Arg(1); }
BENCHMARK((empty_tasks<Pool, by_apply>))->Name("apply")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((empty_tasks<Pool, by_apply_async>))->Name("apply_async")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((empty_tasks<Pool, by_map>))->Name("map")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((empty_tasks<Pool, by_map_chunk_1>))->Name("map_chunk_1")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((empty_tasks<CPythonPool, by_apply>))->Name("faithful_apply")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((empty_tasks<CPythonPool, by_map>))->Name("faithful_map")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((empty_tasks<Pool, by_starmap>))->Name("starmap")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((empty_tasks<Pool, by_imap>))->Name("imap")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((empty_tasks<Pool, by_imap_unordered>))->Name("imap_unordered")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK(pipe_round_trip)->Apply(lab::blocking);
BENCHMARK(process_a_task)->Apply(lab::blocking);
BENCHMARK(uneven_tasks<waits_by_map>)->Name("uneven_map")->Apply(lab::blocking);
BENCHMARK(uneven_tasks<waits_by_imap>)->Name("uneven_imap")->Apply(lab::blocking);
BENCHMARK(uneven_tasks<waits_by_imap_unordered>)->Name("uneven_imap_unordered")->Apply(lab::blocking);
BENCHMARK(waits_by_apply<1>)->Name("one_wait")->Apply(lab::blocking);
BENCHMARK(waits_by_apply<12>)->Name("twelve_waits_by_apply")->Apply(lab::blocking);
BENCHMARK(twelve_waits)->Apply(lab::blocking_with<processes_and_threads>);
BENCHMARK(countdowns)->Apply(lab::blocking_with<processes_and_threads>);
BENCHMARK(five_batches)->Apply(lab::blocking);

std::string at(const char* method, int workers) { return fmt::format("{}/workers:{}", method, workers); }

lab::Measure map_is_cheapest() {
  std::vector<lab::Point> points;
  for (const char* other : {"starmap", "imap", "imap_unordered", "apply_async", "apply"}) {
    points.push_back(
        lab::ratio(at("map", many()), at(other, many())).at_most(1.05).labelled(std::string("against ") + other));
  }
  return lab::model(points);
}
lab::Lab experiment(const lab::Options&) {
  using namespace lab;
  const auto first_of = [](const char* variant) { return Value(variant, "first_ms"); };
  return {
      .title = "Pool: which of eight ways to hand work to a pool?",
      .question =
          "apply, map, imap and their sisters: what does a task cost in each, when does the first result "
          "come, and what if a worker is killed?",
      .rows = {{.name = "apply, an empty task",
                .value = at("apply", 1),
                .ask = "One empty task by apply, one worker, in microseconds?"},
               {.name = "apply, CPython's pool", .value = at("faithful_apply", 1)},
               {.name = "map, an empty task",
                .value = at("map", many()),
                .ask = "One empty task of thousands by map, in microseconds?"},
               {.name = "imap, an empty task", .value = at("imap", many())},
               {.name = "a process for an empty task", .value = "process_a_task"},
               {.name = "12 waits of 5 ms by map",
                .value = "twelve_waits/threads:0",
                .ask = "Twelve tasks that wait 5 ms each, on four workers: how long by map?"},
               {.name = "12 waits of 5 ms by apply",
                .value = "twelve_waits_by_apply",
                .ask = "And by apply in a loop?"}},
      .claims =
          {{.id = "pool.async_returns",
            .text = "Five batches are submitted in under 1 % of the time they take",
            .measure = Point(Value("five_batches", "submitted")).at_most(0.01),
            .book = Book{0, 0, "Mastering Python, 1st ed., worker pools: submitted in 0.000 s, all done after 7.39 s"},
            .because = "map_async puts its chunks into a queue and returns",
            .unit = " of the time"},
           {.id = "pool.batches_in_order",
            .text = "Five batches that are submitted at once finish in their order",
            .measure = fact(batches_in_order),
            .because = "their chunks stand in one queue, which is served from the front"},
           {.id = "pool.batches_even",
            .text = "They finish evenly spaced (farthest from even spacing, as a share of the whole)",
            .measure = Point(Value("five_batches", "unevenness")).at_most(0.1),
            .book = Book{0, 0, "Mastering Python, 1st ed., worker pools: done after 1.51, 2.98, 4.46, 5.98, 7.39 s"},
            .because = "all workers work at one batch, and then at the next",
            .unit = " of the whole"},
           {.id = "pool.imap_first",
            .text = "imap gives its first result before map gives any",
            .measure = ratio(first_of("uneven_imap"), first_of("uneven_map")).at_most(0.8),
            .because = "map answers when everything is there"},
           {.id = "pool.unordered_first",
            .text = "imap_unordered gives its first result before imap does, when the first task is a long one",
            .measure = ratio(first_of("uneven_imap_unordered"), first_of("uneven_imap")).at_most(0.8),
            .because = "imap holds back what is early until its turn has come"},
           {.id = "pool.apply_serial",
            .text = "apply in a loop keeps one of four workers busy: twelve waits take the time of twelve",
            .measure = ratio("twelve_waits_by_apply", "one_wait").within(11.4, 12.6),
            .because = "apply waits for its task before the next is submitted"},
           {.id = "pool.waves",
            .text = "Twelve equal waits on four workers take the time of three",
            .measure = ratio("twelve_waits/threads:0", "one_wait").within(2.9, 3.2),
            .because = "12 / 4 = 3 waves"},
           {.id = "pool.map_cheapest",
            .text = "No method is cheaper per empty task than map",
            .measure = map_is_cheapest(),
            .book = Book{0, 0,
                         "High Performance Python, 1st ed., finding primes, a comment in the code: map is fastest, "
                         "imap and imap_unordered slower"},
            .because = "a chunk shares one message among its tasks"},
           {.id = "pool.reuse",
            .text = "Many small tasks: a process for each costs at least 10 times a pool's message for each (map, "
                    "chunks of 1)",
            .measure = ratio("process_a_task", at("map_chunk_1", many())).at_least(10),
            .because = "a pool pays for its processes once"},
           {.id = "pool.dummy_io",
            .text = "For tasks that wait, a pool of threads does as well as one of processes",
            .measure = ratio("twelve_waits/threads:1", "twelve_waits/threads:0").at_most(1.05),
            .because = "who waits needs no core"},
           {.id = "pool.hand_overs",
            .text =
                "A task by apply through the three threads of CPython's pool costs at least 1.15 times one through the "
                "single result handler of the sturdy pool",
            .measure = ratio(at("faithful_apply", 1), at("apply", 1)).at_least(1.15),
            .because =
                "caller, task handler, worker, result handler, caller: four wake-ups; without the task handler, three"},
           {.id = "pool.death_is_reported",
            .text = "A worker is killed: the sturdy pool names signal, pid and task and goes on; CPython's never "
                    "answers for "
                    "that task",
            .measure = correctness(death_is_reported),
            .because = "a worker's death is an event like a reply: one must look for it"}},
      .floors = {{at("apply", 1), "pipe_round_trip"},
                 {at("faithful_apply", 1), "pipe_round_trip"},
                 {at("map_chunk_1", 1), "pipe_round_trip"},
                 {at("imap", 1), "pipe_round_trip"}},
      .trace = tasks_on_workers,
      .shows = {{"order", show_order}, {"squares", show_squares}}};
}

}  // namespace

int main(int argc, char** argv) try {
  nursery = std::make_unique<lab::start::Nursery>();
  return lab::run(argc, argv, experiment);
} catch (const std::exception& error) {  // the nursery is made before lab::run can report
  lab::say("06_pool_map: {}\n", error.what());
  return 1;
}
