// Lab 14 · RawValue: a flag in shared memory                                        about 20 s
//
// Question   Workers search for a factor; one finds it. What does it cost the others to look whether somebody has?
// Predict    From which poll interval on do you no longer see the cost? Every ____ candidates.
// Run        make lab-14
// Vary       --every 1 ... 1000000 · --pace python · --workers 4 · --number 10000003440671 --by value
// Book       High Performance Python, 1st to 3rd ed., "Verifying Primes Using Interprocess Communication", the part on
//            RawValue as a flag
#include "labs/12_verify_pool/experiment.hpp"
#include "races.hpp"
#include "raw_value.hpp"

namespace {

namespace verify = lab::verify;
using namespace lab::sharedctypes;
using Byte = std::uint8_t;

constexpr std::uint64_t kFew = 50'000;  // polls: workers that fight for a lock need no more to show what that costs

void no_flag(benchmark::State& state) { verify::without_flag(state); }
void raw_value(benchmark::State& state) { verify::polled(state, Flag<RawValue<Byte>>()); }
void value(benchmark::State& state) { verify::polled(state, Flag<Value<Byte>>(), kFew); }
void raw_array(benchmark::State& state) { verify::polled(state, FirstElement<RawArray<Byte>>()); }
void array(benchmark::State& state) { verify::polled(state, FirstElement<Array<Byte>>(), kFew); }
void atomic(benchmark::State& state) { verify::polled(state, Flag<AtomicValue<Byte>>()); }
void raw_value_verifies(benchmark::State& state) { verify::verified(state, Flag<RawValue<Byte>>()); }
BENCHMARK(no_flag)->Apply(lab::busy);
BENCHMARK(raw_value)->Apply(lab::busy_with<verify::at_all_intervals>);
BENCHMARK(value)->Apply(lab::busy_with<verify::at_all_intervals>);
BENCHMARK(raw_array)->Apply(lab::busy_with<verify::at_1_and_1000>);
BENCHMARK(array)->Apply(lab::busy_with<verify::at_1_and_1000>);
BENCHMARK(atomic)->Apply(lab::busy_with<verify::at_1_and_1000>);
BENCHMARK(raw_value_verifies)->Apply(lab::busy_with<verify::for_large_numbers>);

/// The smallest interval from which on, at every greater one too, a candidate costs under 2 % more than without a flag.
lab::Point smallest_invisible(const std::vector<std::int64_t>& intervals) {
  std::vector<lab::Value> inputs{"no_flag"};
  for (const std::int64_t every : intervals) inputs.push_back(fmt::format("raw_value/every:{}", every));
  return lab::compute(inputs, [intervals](std::span<const double> t) {
    std::size_t first = intervals.size();
    while (first > 0 && t[first] < 1.02 * t[0]) --first;
    return static_cast<double>(intervals[std::min(first, intervals.size() - 1)]);
  });
}

lab::Seen one_way_needs_no_lock() {
  Flag<RawValue<Byte>> flag;
  const int workers = std::max(2, verify::chosen.workers);
  constexpr std::uint64_t rounds = 10'000;
  const std::uint64_t seen = raise_together(workers, rounds, flag), all = rounds * static_cast<std::uint64_t>(workers);
  return {seen == all, fmt::format("{} workers raised it at once, {} times, and saw it raised {} of {} times", workers,
                                   rounds, seen, all)};
}

/// All of `each` counts of every worker, and how many the counter kept. On busy CPUs one worker may come after the other by
/// chance, and then nothing is lost: so it is tried again with more, until something is.
template <class Counter>
std::pair<std::uint64_t, std::uint64_t> lose_some(int workers, std::uint64_t each) {
  for (const std::uint64_t most = 64 * each;; each *= 2) {
    Counter counter(std::uint64_t{0});
    const std::uint64_t all = each * static_cast<std::uint64_t>(workers), kept = count_together(workers, each, counter, plainly);
    if (kept < all || each == most) return {all, kept};
  }
}
lab::Seen counter_needs_a_lock() {
  const int workers = std::max(2, verify::chosen.workers);
  constexpr std::uint64_t each = 100'000;
  const std::uint64_t all = each * static_cast<std::uint64_t>(workers);
  const auto [all_raw, raw] = lose_some<RawValue<std::uint64_t>>(workers, 10 * each);
  const auto [all_value, value] = lose_some<Value<std::uint64_t>>(workers, each);
  Value<std::uint64_t> locked(std::uint64_t{0});
  AtomicValue<std::uint64_t> atomic;
  const std::uint64_t of_locked = count_together(workers, each, locked, under_its_lock),
                      of_atomic = count_together(workers, each, atomic, plainly);
  const bool exact = of_locked == all && of_atomic == all, lost = raw < all_raw && value < all_value;
  return {.holds = exact && lost,
          .what = fmt::format("RawValue kept {} of {} increments, Value {} of {}, Value under get_lock() {} of {}, an atomic "
                              "{} of {}", raw, all_raw, value, all_value, of_locked, all, of_atomic, all),
          .known = !exact || lost};
}

template <class F>
std::uint64_t find_with(const verify::Verification& v) {
  F flag;
  return verify::find_factor(v, flag);
}

lab::Lab experiment(const lab::Options& options) {
  using lab::Book;
  verify::choose(options);
  const int workers = verify::chosen.workers;
  return {
      .title = "RawValue: a flag in shared memory",
      .question = "Workers search for a factor; one finds it. What does it cost the others to look whether somebody has?",
      .rows = {{.name = "a candidate, without a flag", .value = verify::ns_a_candidate("no_flag"), .unit = "ns"},
               {.name = "RawValue polled at every candidate",
                .value = lab::ratio("raw_value/every:1", "no_flag"),
                .unit = "x",
                .ask = "How many times as long does the search take when it polls a RawValue at every candidate?"},
               {.name = "RawValue polled every 1000", .value = lab::ratio("raw_value/every:1000", "no_flag"), .unit = "x"},
               {.name = "interval from which on it costs under 2 %",
                .value = smallest_invisible(verify::intervals(options)),
                .unit = "candidates",
                .ask = "From which poll interval on does it cost under 2 %? Every ... candidates"},
               {.name = "Value polled at every candidate",
                .value = verify::cost("value/every:1", "no_flag"),
                .unit = "x",
                .ask = "And when it polls a Value, with its lock, at every candidate?"},
               {.name = "Value polled every 1000", .value = verify::cost("value/every:1000", "no_flag"), .unit = "x"},
               {.name = "non-prime 1, of the prime's time",
                .value = lab::ratio("raw_value_verifies/number:1", "raw_value_verifies/number:3"),
                .unit = "x"}},
      .claims =
          {{.id = "raw.free",
            .text = "A poll of a RawValue every 1000 candidates costs nothing you can see",
            .measure = lab::ratio("raw_value/every:1000", "no_flag").within(0.98, 1.02).same_code(),
            .book = Book{1.33, 1.57,
                         "High Performance Python, 1st and 2nd ed., RawValue against the pool without a flag, on primes"},
            .because = "a byte that nobody writes stays in every core's own cache; the book's extra cost was its "
                       "interpreter's loop counter"},
           {.id = "raw.early_exit",
            .text = fmt::format("With {} workers a non-prime takes the share of a prime's time at which its factor lies in "
                                "its piece (measured over predicted)",
                                workers),
            .measure = lab::model({verify::stops_as_predicted("raw_value_verifies", verify::kFirst, workers),
                                   verify::stops_as_predicted("raw_value_verifies", verify::kSecond, workers)}),
            .book = Book{0.98, 1.0,
                         "High Performance Python, 1st and 2nd ed., RawValue with 4 processes, measured over predicted"},
            .because = "all stop within one interval of the first find",
            .needs = verify::needs_a_core_each()},
           {.id = "raw.one_way_needs_no_lock",
            .text = "A flag that only goes from 0 to 1 needs no lock: all raise it at once, and all see it raised",
            .measure = lab::correctness(one_way_needs_no_lock),
            .because = "whoever's write comes last, it writes a 1"},
           {.id = "raw.counter_needs_one",
            .text = "A counter needs a lock around the whole +=: RawValue and Value lose updates, Value under its lock and an "
                    "atomic lose none",
            .measure = lab::correctness(counter_needs_a_lock),
            .book = Book{0, 0, "High Performance Python, 1st ed., \"Synchronizing File and Variable Access\": 2340 of 4000"},
            .because = "Value takes its lock for the read and again for the write, and another process adds in between",
            .needs = lab::needs_cores(2)}},
      .floors = {{"raw_value/every:1", "no_flag"}},
      .takes_workers = true,
      .instead = verify::answer(options, {{"raw_value", find_with<Flag<RawValue<Byte>>>},
                                          {"value", find_with<Flag<Value<Byte>>>},
                                          {"raw_array", find_with<FirstElement<RawArray<Byte>>>},
                                          {"array", find_with<FirstElement<Array<Byte>>>},
                                          {"atomic", find_with<Flag<AtomicValue<Byte>>>}})};
}

}  // namespace

int main(int argc, char** argv) {
  return lab::run(argc, argv, experiment, verify::choices({"raw_value", "value", "raw_array", "array", "atomic"}));
}
