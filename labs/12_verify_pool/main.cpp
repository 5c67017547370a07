// Lab 12 · Verify, pool: is this one number prime?                                  about 20 s
//
// Question   The candidates of one large number are shared out to a pool. What does that gain for a prime, for a number with
//            a large factor, and for one with a small factor?
// Predict    How many times as fast the pool is on a prime; how many times as slow on a multiple of 5.
// Run        make lab-12
// Vary       --workers 4 · --pace native · --full (the book's numbers) · --number 10000003440671 --by naive_pool
// Book       High Performance Python, 1st to 3rd ed., "Verifying Primes Using Interprocess Communication", the serial
//            solution, the naive pool and the less naive pool
#include <memory>

#include "common/os/say.hpp"
#include "experiment.hpp"
#include "naive_pool.hpp"

namespace {

namespace verify = lab::verify;
using verify::chosen, verify::measured, verify::kSmall, verify::kFirst, verify::kSecond, verify::kPrime;

std::unique_ptr<lab::start::Nursery> nursery;  // forks the pools' workers

template <class Find>
void find_again_and_again(benchmark::State& state, const Find& find) {
  const verify::Number& number = measured[static_cast<std::size_t>(state.range(0))];
  verify::Verification v = chosen;
  v.n = number.n;
  std::uint64_t factor = 0;
  for (auto _ : state) {
    std::uint64_t copy = factor = find(v);
    benchmark::DoNotOptimize(copy);  // which may write to it
  }
  lab::expect(state, factor == number.factor, verify::sentence(v.n, factor) + " is a wrong verdict");
}
// A core for each worker: two that the kernel puts on one core stay there for milliseconds, as long as the search takes.
lab::pool::Pool a_pool(int workers) {
  return lab::pool::Pool({.processes = workers, .cpus = lab::place(lab::machine(), workers), .nursery = nursery.get()});
}

void serial(benchmark::State& state) { find_again_and_again(state, verify::serial); }
void naive_pool(benchmark::State& state) {
  lab::pool::Pool pool = a_pool(chosen.workers);
  lab::expect(state, pool.wait_until_ready(std::chrono::seconds(20)), "the pool's workers were not ready within 20 s");
  find_again_and_again(state, [&](const auto& v) { return verify::naive_pool(pool, v); });
}
void less_naive_pool(benchmark::State& state) {
  lab::pool::Pool pool = a_pool(chosen.workers);
  lab::expect(state, pool.wait_until_ready(std::chrono::seconds(20)), "the pool's workers were not ready within 20 s");
  find_again_and_again(state, [&](const auto& v) { return verify::less_naive_pool(pool, v); });
}
void each_number(lab::Family* family, const lab::Options&) {
  family->ArgName("number");
  for (std::size_t i = 0; i < measured.size(); ++i) family->Arg(static_cast<std::int64_t>(i));
}
BENCHMARK(serial)->Apply(lab::busy_with<each_number>);
BENCHMARK(naive_pool)->Apply(lab::blocking_with<each_number>);
BENCHMARK(less_naive_pool)->Apply(lab::blocking_with<each_number>);

// The floor of a pool on a prime: the same pieces, searched by processes that were waiting for nothing else.
void bare_workers(benchmark::State& state) {
  lab::NoFlag none;
  verify::search_again_and_again(state, chosen, none);
}
BENCHMARK(bare_workers)->Apply(lab::busy);

std::string at(const char* variant, int number) { return fmt::format("{}/number:{}", variant, number); }

/// That variant's time for a non-prime, as a share of its time for the prime.
lab::Point share(const char* variant, int number) { return lab::ratio(at(variant, number), at(variant, kPrime)); }
lab::Point no_early_exit(int number) {
  return share("naive_pool", number).within(0.95, 1.05).same_code().labelled(measured[number].name);
}

lab::Seen small_factors() {
  const verify::Composites count = verify::composites_below(10'000'000);
  const double percent = 100.0 * double(count.with_small_factor) / double(count.all);
  return {88.7 <= percent && percent <= 88.9,
          fmt::format("{} of {} composites below 10,000,000, {:.1f} %", count.with_small_factor, count.all, percent)};
}

std::string what_is_predicted() {
  std::string lines = fmt::format("{:<16} {:>20} {:>12} {:>8} {:>13}\n", "", "number", "factor", "serial",
                                  fmt::format("{} workers", chosen.workers));
  for (const verify::Number& number : measured) {
    const auto when = [&](int workers) {
      return number.factor == 5 ? 0.0 : number.factor ? verify::stop_fraction(number.n, number.factor, workers) : 1.0;
    };
    lines += fmt::format("{:<16} {:>20} {:>12} {:>8.4f} {:>13.4f}\n", number.name, number.n,
                         number.factor ? std::to_string(number.factor) : "none", when(1), when(chosen.workers));
  }
  lines.pop_back();
  return lines;
}

lab::Lab experiment(const lab::Options& options) {
  using lab::Book, lab::ratio;
  verify::choose(options);
  const int workers = chosen.workers;
  const auto in_a_pool = [workers](auto find) {
    return [workers, find](const verify::Verification& v) {
      lab::pool::Pool pool = a_pool(workers);
      return find(pool, v);
    };
  };
  return {
      .title = "Verify, pool: is this one number prime?",
      .question =
          "The candidates of one large number are shared out to a pool. What does that gain for a prime, for a number "
          "with a large factor, and for one with a small factor?",
      .rows = {{.name = "a prime, serially", .value = at("serial", kPrime)},
               {.name = fmt::format("the pool of {}, faster on it", workers),
                .value = ratio(at("serial", kPrime), at("naive_pool", kPrime)),
                .unit = "x",
                .ask = "How many times as fast as serially is a pool, a worker a core, on a prime?"},
               {.name = "non-prime 1 serially, of the prime's time", .value = share("serial", kFirst), .unit = "x"},
               {.name = "non-prime 1 by the naive pool, of its prime's",
                .value = share("naive_pool", kFirst),
                .unit = "x",
                .ask = "What share of its time for the prime does the naive pool take for non-prime 1?"},
               {.name = "the same by an ideal flag (predicted)",
                .value = lab::compute({at("naive_pool", kPrime)},
                                      [f = verify::stop_fraction(measured[kFirst].n, measured[kFirst].factor, workers)](
                                          std::span<const double>) { return f; }),
                .unit = "x"},
               {.name = "small non-prime, serially", .value = at("serial", kSmall)},
               {.name = "small non-prime by the naive pool",
                .value = at("naive_pool", kSmall),
                .ask = "A multiple of 5 takes a few nanoseconds serially. How long does the naive pool take for it?"},
               {.name = "small non-prime by the less naive pool", .value = at("less_naive_pool", kSmall)}},
      .claims =
          {{.id = "verify.naive_no_early_exit",
            .text = "The naive pool takes as long for a non-prime as for a prime",
            .measure = lab::model({no_early_exit(kFirst), no_early_exit(kSecond)}),
            .book = Book{0.98, 0.99, "High Performance Python, 1st ed., the naive pool with 4 processes"},
            .because = "nobody tells the other workers that they may stop"},
           {.id = "verify.naive_hurts_small",
            .text = "A multiple of 5 costs the naive pool at least 1000 times what it costs serially",
            .measure = ratio(at("naive_pool", kSmall), at("serial", kSmall)).at_least(1000),
            .book = Book{52553, 52553, "High Performance Python, 1st ed.: 0.105 s against 2 us"},
            .because = "all pieces but the first are searched to their ends"},
           {.id = "verify.precheck",
            .text = "With a few candidates tried before the pool is asked, it costs at most twice the serial time",
            .measure = ratio(at("less_naive_pool", kSmall), at("serial", kSmall)).at_most(2),
            .book = Book{1, 1, "High Performance Python, 1st ed.: 2 us and 2 us"},
            .because = "no worker is woken"},
           {.id = "verify.small_factors",
            .text = "Factors up to 19 settle 88.8 % of the composites below 10,000,000",
            .measure = lab::fact(small_factors),
            .book = Book{0, 0, "High Performance Python, 1st ed., the counts of smallest factors: 88.8 %"},
            .because = "half of all numbers are even, a third of the rest is divisible by 3"},
           {.id = "verify.fraction",
            .text = "Serially a non-prime takes factor / root of a prime's time (measured over predicted)",
            .measure = lab::model(
                {verify::stops_as_predicted("serial", kFirst, 1), verify::stops_as_predicted("serial", kSecond, 1)}),
            .book = Book{0.99, 1.0, "High Performance Python, 1st and 2nd ed., serially, measured over predicted"},
            .because = "every candidate costs the same, and the search ends at the factor"},
           {.id = "verify.linear",
            .text = fmt::format("On a prime a pool of {} is {} times as fast as one process", workers, workers),
            .measure = ratio(at("serial", kPrime), at("less_naive_pool", kPrime))
                           .within(0.9 * workers, 1.05 * workers)
                           .same_code(),
            .book = Book{3.90, 3.98, "High Performance Python, 1st and 2nd ed., the less naive pool with 4 processes"},
            .because = "pieces of equal length are equal work",
            .needs = lab::needs_cores(2) + lab::needs_equal_cores() + verify::needs_a_core_each()}},
      .floors = {{at("less_naive_pool", kPrime), "bare_workers"}},
      .tables = {{"an ideal flag: the share of a prime's time after which it stops everybody", what_is_predicted}},
      .takes_workers = true,
      .instead = verify::answer(options, {{"serial", verify::serial},
                                          {"naive_pool", in_a_pool(verify::naive_pool)},
                                          {"less_naive_pool", in_a_pool(verify::less_naive_pool)}})};
}

}  // namespace

int main(int argc, char** argv) try {
  nursery = std::make_unique<lab::start::Nursery>();
  verify::measured_pace = "python";  // the book's: a search must last long beside the waking of a pool's workers
  return lab::run(argc, argv, experiment, verify::choices({"less_naive_pool", "naive_pool", "serial"}));
} catch (const std::exception& error) {  // the nursery is made before lab::run can report
  lab::say("12_verify_pool: {}\n", error.what());
  return 1;
}
