// Lab 13 · Manager: a flag in a server process                                      about 20 s
//
// Question   The flag is a value in a server process. A worker that wants to look at it sends a message and waits for the answer.
//            How often may it look, at C++'s pace and at an interpreter's?
// Predict    What a look costs; every how many candidates a worker can afford one.
// Run        make lab-13
// Vary       --every 1 ... 1000000 · --workers 4 · --number 10000003440671 --by value_server
// Book       High Performance Python, 1st to 3rd ed., "Verifying Primes Using Interprocess Communication", the part on
//            Manager.Value as a flag
#include "experiments.hpp"
#include "facts.hpp"

namespace {

namespace verify = lab::verify;
using namespace lab::manager_value;
using lab::manager_value::at;

// An iteration of these is a search. The workers wait for a server a good part of the time.
void at_1000(lab::Family* family, const lab::Options&) { family->ArgName("every")->Arg(1000); }
BENCHMARK(without_flag<Pace::native>)->Name("no_flag")->Apply(lab::busy);
BENCHMARK(without_flag<Pace::python>)->Name("no_flag_python")->Apply(lab::busy);
BENCHMARK(serially)->Name("serial")->Apply(lab::busy);
BENCHMARK((polled<ManagerFlag, Pace::native>))
    ->Name("manager_value")
    ->Apply(lab::blocking_with<verify::at_all_intervals>);
BENCHMARK((polled<ManagerFlag, Pace::python>))
    ->Name("manager_value_python")
    ->Apply(lab::blocking_with<verify::at_all_intervals>);
BENCHMARK((polled<ValueFlag, Pace::native>))->Name("value_server")->Apply(lab::blocking_with<verify::at_1_and_1000>);
BENCHMARK((polled<ValueFlag, Pace::python>))->Name("value_server_python")->Apply(lab::blocking_with<at_1000>);

// At Python's pace a poll every 3000 candidates is under a tenth of the work between two.
constexpr int kSeldom = 3000;
void numbers_to_verify(lab::Family* family, const lab::Options&) {
  family->ArgNames({"every", "number"})->Args({1000, verify::kFirst})->Args({1000, verify::kSecond});
  for (const int number : {verify::kFirst, verify::kSecond, verify::kPrime}) family->Args({kSeldom, number});
}
BENCHMARK((verified<ManagerFlag, Pace::python>))
    ->Name("manager_value_python_verifies")
    ->Apply(lab::blocking_with<numbers_to_verify>);

// An iteration of these is a round trip; of the last two, a thousand items through a queue.
BENCHMARK(manager_get)->Apply(lab::blocking);
BENCHMARK(lesson_get)->Apply(lab::blocking);
BENCHMARK(socket_round_trip)->Apply(lab::blocking);
BENCHMARK(lab::queues::through<ServersQueue>)->Name("manager_queue_through")->Apply(lab::blocking);
BENCHMARK(lab::queues::through<lab::queues::Queue<std::string>>)->Name("queue_through")->Apply(lab::blocking);

std::string every(const char* variant, std::int64_t interval) { return fmt::format("{}/every:{}", variant, interval); }

/// What a poll every 1000 candidates adds to each, times 1000: a round trip inside the search, in nanoseconds.
lab::Point round_trip(const std::function<double(double work, double trip)>& then) {
  const std::string polled = every("manager_value", 1000);
  return lab::compute({polled, {polled, "candidates"}, "no_flag", {"no_flag", "candidates"}, {polled, "workers"}},
                      [then](std::span<const double> x) {
                        const double work = 1e9 * x[4] * x[2] / x[3];
                        return then(work, 1000 * (1e9 * x[4] * x[0] / x[1] - work));
                      });
}

lab::Measure poll_cost(const lab::Options& options) {
  std::vector<lab::Point> points;
  for (const std::int64_t interval : verify::intervals(options)) {
    if (interval == 1000) continue;
    points.push_back(verify::poll_cost_as_predicted(every("manager_value", interval), every("manager_value", 1000),
                                                    "no_flag", interval)
                         .labelled(fmt::format("every {}", interval)));
  }
  return lab::model(points);
}

std::string verifies(int interval, int number) {
  return fmt::format("manager_value_python_verifies/every:{}/number:{}", interval, number);
}
lab::Point stops_as_predicted(int number, int workers) {
  return verify::stops_as_predicted(verifies(kSeldom, number), verifies(kSeldom, verify::kPrime), number, workers)
      .within(0.9, 1.1);
}
lab::Measure python_pace() {
  std::vector<lab::Point> points;
  for (const int number : {verify::kFirst, verify::kSecond}) {
    points.push_back(
        lab::ratio(verifies(1000, number), "no_flag_python").at_most(1).labelled(verify::measured[number].name));
  }
  points.push_back(
      verify::cost(every("manager_value_python", 1000), "no_flag_python").at_most(1.25).labelled("prime 1"));
  return lab::model(points);
}

lab::Lab experiment(const lab::Options& options) {
  using lab::Book, lab::ratio;
  if (!verify::pace.empty() && verify::number.empty())
    throw lab::BadOption(
        "--pace: this lab measures at both; it is for --number (to measure at one, --benchmark_filter=python)");
  verify::choose(options);
  python_counts = verify::python_counts();
  if (options.full()) most_polls = 20'000;
  const int workers = verify::chosen.workers;
  const std::string often = every("manager_value", 1000);
  return {
      .title = "Manager: a flag in a server process",
      .question =
          "The flag is a value in a server process. A worker that looks at it sends a message and waits for the "
          "answer. How often may it look, at C++'s pace and at an interpreter's?",
      .rows = {{.name = "a candidate, without a flag", .value = verify::ns_a_candidate("no_flag"), .unit = "ns"},
               {.name = "a get of a Value, the server on another core",
                .value = "manager_get",
                .ask = "How long does a get of a Value take, when the server is on another core?"},
               {.name = "over one byte there and back",
                .value = ratio("manager_get", "socket_round_trip"),
                .unit = "x"},
               {.name = "a prime, polled every 1000, over the serial loop",
                .value = verify::cost(often, "serial"),
                .unit = "x",
                .ask = "All cores search a prime and poll every 1000 candidates. How many times as long as one process "
                       "without a flag?"},
               {.name = "the same at Python's pace, over no flag",
                .value = verify::cost(every("manager_value_python", 1000), "no_flag_python"),
                .unit = "x",
                .ask = "At an interpreter's pace, 75 ns a candidate: how many times as long as the same cores without "
                       "a flag?"},
               {.name = "interval at which polls are a tenth of the work",
                .value = round_trip([](double work, double trip) { return trip / (0.1 * work); }),
                .unit = "candidates"},
               {.name = "an item through a Queue in the server, over lab 11's",
                .value = ratio("manager_queue_through", "queue_through"),
                .unit = "x"}},
      .claims =
          {{.id = "manager.early_exit",
            .text = fmt::format(
                "With {} workers, at Python's pace and polled every {}, a non-prime takes the share of a prime's time "
                "at which its factor lies in its piece (measured over predicted)",
                workers, kSeldom),
            .measure =
                lab::model({stops_as_predicted(verify::kFirst, workers), stops_as_predicted(verify::kSecond, workers)}),
            .book = Book{0.92, 0.99,
                         "High Performance Python, 1st and 2nd ed., Manager.Value with 4 processes, measured over "
                         "predicted"},
            .because = "all stop within one interval and one round trip of the first find",
            .needs = verify::needs_a_core_each()},
           {.id = "manager.poll_cost",
            .text = "A candidate costs its work and a round trip for each interval, whatever the interval (measured "
                    "over predicted)",
            .measure = poll_cost(options),
            .because = "a poll is a message there and one back, and the worker waits for it"},
           {.id = "manager.native_loss",
            .text = "Polled every 1000 at C++'s pace, all cores together are slower than one process without a flag",
            .measure = verify::cost(often, "serial").at_least(1),
            .book = Book{0.55, 0.67, "High Performance Python, 1st to 3rd ed., Manager.Value over serial, on primes"},
            .because = "1000 candidates take C++ a few microseconds, and a round trip takes longer"},
           {.id = "manager.python_pace",
            .text = "Polled every 1000 at Python's pace, non-primes take less than without a flag, and a prime at most "
                    "1.25 times as long",
            .measure = python_pace(),
            .book = Book{0.37, 2.46,
                         "High Performance Python, 1st and 2nd ed.: non-primes 0.37 to 0.47, primes 2.2 to 2.5"},
            .because = "1000 candidates take an interpreter 75 us, several round trips"},
           {.id = "manager.queue_dearer",
            .text = "An item through a Queue in the server takes at least 3 times as long as through lab 11's",
            .measure = ratio("manager_queue_through", "queue_through").at_least(3),
            .book =
                Book{0, 0, "High Performance Python, 1st to 3rd ed.: 53 to 73 us an item through a manager's queue"},
            .because = "each item is two round trips, in and out, and each of them wakes the server"},
           {.id = "manager.value_races",
            .text = "+= on a Value in a manager loses updates; under a Lock of the same manager none is lost",
            .measure = lab::correctness(value_races),
            .because = "it is a get and a set, and the server serves others in between"},
           {.id = "manager.nested_copy",
            .text = "A list inside a manager's dict is a copy once it was got: only what is set again, or is a proxy, "
                    "is kept",
            .measure = lab::correctness(nested_copy),
            .because = "what travels through a socket is bytes; only a proxy says which object it stands for"}},
      .floors = {{"manager_get", "socket_round_trip"}, {"lesson_get", "socket_round_trip"}},
      .takes_workers = true,
      .instead =
          verify::answer(options, {{"manager_value", find_with<ManagerFlag>}, {"value_server", find_with<ValueFlag>}})};
}

}  // namespace

int main(int argc, char** argv) {
  verify::measured_pace = "both";
  return lab::run(argc, argv, experiment, verify::choices({"manager_value", "value_server"}));
}
