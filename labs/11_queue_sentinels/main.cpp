// Lab 11 · Queues and sentinels: when does a queue of work pay?                     about 20 s
//
// Question   One process puts numbers into a queue, others take them out and test them. From how much work an item on is
//            that faster than a loop? How do the workers learn that it is over, and what does a killed one cost?
// Predict    10,000 numbers, one a message, two workers: how many times as long as a loop without any queue?
// Run        make lab-11
// Vary       --workers 1,2,4,8 · --show join · --show killed_reader · --full (the book's million numbers)
// Book       High Performance Python, "Finding Prime Numbers", queues of work; Mastering Python, "Multiprocessing", queues
#include <fmt/format.h>

#include <cmath>

#include "common/harness/lab.hpp"
#include "demonstrations.hpp"
#include "experiments.hpp"
#include "labs/05_pipe/carriers.hpp"

namespace {

using namespace lab::queues;

// The book's job: is each of these numbers prime? One number a message, but where the name says otherwise.
void one_and_many(lab::Family* family, const lab::Options& options) {
  family->ArgName("workers");
  for (const auto n : lab::worker_counts(
           options, options.full() ? std::vector<std::int64_t>{1, 2, 4, 8} : std::vector<std::int64_t>{1, many}))
    family->Arg(n);
}
void just_many(lab::Family* family, const lab::Options&) { family->ArgName("workers")->Arg(many); }
BENCHMARK(primes_serial)->Apply(lab::busy);
BENCHMARK(primes_by<Queue>)->Name("primes_queue")->Apply(lab::blocking_with<one_and_many>);
BENCHMARK((primes_by<Queue, 2>))->Name("primes_odd_only")->Apply(lab::blocking_with<just_many>);
BENCHMARK(primes_by<SimpleQueue>)->Name("primes_simple_queue")->Apply(lab::blocking_with<just_many>);
BENCHMARK(primes_by<Packets>)->Name("primes_packets")->Apply(lab::blocking_with<just_many>);
BENCHMARK(primes_by<Ring>)->Name("primes_ring")->Apply(lab::blocking_with<just_many>);
BENCHMARK(primes_batches)->ArgName("batch")->Arg(10)->Arg(100)->Arg(1000)->Apply(lab::blocking);

// Items that bring along so many counts of work.
void counts(lab::Family* family, const lab::Options&) {
  family->ArgName("counts");
  for (const std::int64_t n : kCounts) family->Arg(n);
}
void workers_and_counts(lab::Family* family, const lab::Options&) {
  family->ArgNames({"workers", "counts"})->Args({1, kCounts[0]});
  for (const std::int64_t n : kCounts) family->Args({many, n});
}
BENCHMARK(sweep_serial)->Apply(lab::busy_with<counts>);
BENCHMARK(sweep_queue)->Apply(lab::blocking_with<workers_and_counts>);

BENCHMARK(consumers)->ArgName("consumers")->Arg(1)->Arg(2)->Arg(4)->Apply(lab::blocking);

// A thousand items of 64 bytes, one producer, one consumer; and the least that they could cost.
BENCHMARK(through<SimpleQueue<std::string>>)->Name("simple_queue_through")->Apply(lab::blocking);
BENCHMARK(through<Queue<std::string>>)->Name("queue_through")->Apply(lab::blocking);
BENCHMARK(through<lab::queue::PacketQueue>)->Name("packets_through")->Apply(lab::blocking);
BENCHMARK(through<Slots>)->Name("ring_through")->Apply(lab::blocking);
BENCHMARK(lab::pipe::stream<lab::pipe::ReadAndWrite>)->Name("bare_pipe_through")->Apply(lab::blocking);
BENCHMARK(lab::pipe::stream<lab::pipe::BareRings>)->Name("bare_ring_through")->Apply(lab::blocking);

std::string at(const char* variant, std::int64_t counts) {
  return std::string(variant) == "sweep_serial" ? fmt::format("sweep_serial/counts:{}", counts)
                                                : fmt::format("{}/workers:{}/counts:{}", variant, many, counts);
}

// The work an item must bring along for the queue to be as fast as a loop: where the two curves of time an item cross.
lab::Point break_even() {
  std::vector<lab::Value> inputs;
  for (const std::int64_t n : kCounts) {
    inputs.emplace_back(at("sweep_serial", n));
    inputs.emplace_back(at("sweep_queue", n));
  }
  return lab::compute(inputs, [](std::span<const double> t) {
    double before = 0, before_ratio = 0;
    for (std::size_t i = 0; 2 * i + 1 < t.size(); ++i) {
      const double work = t[2 * i] / static_cast<double>(items_of(kCounts[i])),
                   ratio = std::log(t[2 * i + 1] / t[2 * i]);
      if (ratio <= 0) return i == 0 ? work : before * std::pow(work / before, before_ratio / (before_ratio - ratio));
      before = work, before_ratio = ratio;
    }
    return std::nan("");
  });
}

lab::Lab experiment(const lab::Options& options) {
  using namespace lab;
  if (!options.workers.empty()) many = static_cast<int>(options.workers.back());
  const jobs::Job job = options.full() ? jobs::c : jobs::a;
  job_range = options.quick() ? Range{job.range.from, job.range.from + 2000} : job.range;
  primes_among_them = options.quick() ? count_primes(job_range) : job.primes;
  const std::string queue = fmt::format("primes_queue/workers:{}", many);
  const auto per_item = [](const char* variant) {
    return compute({variant}, [](std::span<const double> t) { return t[0] / 1000; });
  };
  return {
      .title = "Queues and sentinels: when does a queue of work pay?",
      .question =
          "One process puts numbers into a queue, others take them out and test them. From how much work an item "
          "on is that faster than a loop, and how does everybody learn that it is over?",
      .rows = {{.name = "numbers by a loop", .value = "primes_serial"},
               {.name = "one a message, over the loop",
                .value = ratio(queue, "primes_serial"),
                .unit = "x",
                .ask = "The numbers through a queue, one a message, two workers: how many times as long as a loop?"},
               {.name = "100 a message, over the loop",
                .value = ratio("primes_batches/batch:100", "primes_serial"),
                .unit = "x"},
               {.name = "work that pays for a message",
                .value = break_even(),
                .ask = "How much work must an item bring along for the queue to be as fast as the loop?"},
               {.name = "an item through Queue",
                .value = per_item("queue_through"),
                .ask =
                    "One producer, one consumer: how long does an item take through multiprocessing's Queue, in C++?"},
               {.name = "an item through packets", .value = per_item("packets_through")},
               {.name = "an item through the ring", .value = per_item("ring_through")}},
      .claims =
          {{.id = "queue.break_even",
            .text = "With little work an item a loop is faster than the queue; with much, the queue is faster",
            .measure = model({ratio(at("sweep_queue", kCounts[0]), at("sweep_serial", kCounts[0]))
                                  .at_least(1)
                                  .by_the_clock()
                                  .labelled("some 10 ns"),
                              ratio(at("sweep_queue", kCounts[5]), at("sweep_serial", kCounts[5]))
                                  .at_most(1)
                                  .by_the_clock()
                                  .labelled("some 1 ms")}),
            .book = Book{2.9, 5.7,
                         "High Performance Python, 1st to 3rd ed., one number a message: always slower than serial"},
            .because = "a message has its price, whatever is in it",
            .needs = needs_cores(2)},
           {.id = "queue.more_workers_no_help",
            .text = "Below that, a second worker gains nothing (at most a fifth)",
            .measure = ratio(at("sweep_queue", kCounts[0]), fmt::format("sweep_queue/workers:1/counts:{}", kCounts[0]))
                           .at_least(0.8)
                           .by_the_clock(),
            .book = Book{0.88, 1.04, "High Performance Python, 1st to 3rd ed., 2 workers over 1"},
            .because = "the messages go through one pipe, one at a time, whoever reads them",
            .needs = needs_cores(2)},
           {.id = "queue.fewer_messages",
            .text = "Half of the messages take at most two thirds of the time",
            .measure = ratio(fmt::format("primes_odd_only/workers:{}", many), queue).at_most(0.67),
            .book = Book{0.49, 0.69, "High Performance Python, 1st ed., only odd numbers"},
            .because = "the even numbers cost a message each, and no work"},
           {.id = "queue.batches_repair",
            .text = "A hundred numbers a message, and the queue is faster than the loop",
            .measure = ratio("primes_batches/batch:100", "primes_serial").at_most(0.9).by_the_clock(),
            .because = "the price of a message is shared by all that is in it",
            .needs = needs_cores(2)},
           {.id = "queue.one_consumer_at_a_time",
            .text = "Of four idle consumers three wait for the read lock: at least 0.6 of the time of all four",
            .measure = ratio({"consumers/consumers:4", "blocked_s"}, {"consumers/consumers:4", "consuming_s"})
                           .at_least(0.6)
                           .same_code(),
            .because = "who waits for an item keeps the lock while it waits",
            .unit = ""},
           {.id = "queue.no_loss",
            .text = "Every queue finds all the primes, each once",
            .measure = correctness(nothing_is_lost),
            .because = "a worker's acknowledgement comes after all of its results"},
           {.id = "queue.feeder",
            .text = "All fed and then collected, through bounded channels, stops for good; a feeder thread repairs it",
            .measure = fact(feeder_repairs),
            .book = Book{0, 0, "High Performance Python, 1st to 3rd ed., a thread that feeds the jobs"},
            .because = "the parent waits for room, the workers for the parent"},
           {.id = "queue.not_durable",
            .text = "A killed consumer costs the item in its hand, and only that",
            .measure = fact(a_killed_consumer_costs_one),
            .because = "an item that was got is in no queue any more"}},
      .floors = {{"packets_through", "bare_pipe_through"},
                 {"queue_through", "bare_pipe_through"},
                 {"ring_through", "bare_ring_through"}},
      .trace = messages_over_time,
      .shows = {{"join", show_join_before_drain}, {"killed_reader", show_killed_reader}}};
}

}  // namespace

int main(int argc, char** argv) { return lab::run(argc, argv, experiment); }
