// Lab 10 · Chunk size: how many numbers should travel together?                     about 20 s
//
// Question   How long does the same job take in chunks of 1, 2, 10 ... 5000 numbers, and cut into 1, 2, 3 ... chunks?
// Predict    How many times as long does it take in chunks of 1 as in chunks of 100?
// Run        make lab-10
// Vary       --workers 3 · --full (the book's 100,000 numbers, all its chunk sizes, and the million)
// Book       High Performance Python, 1st and 3rd ed., chapter "The multiprocessing Module", "Finding Prime Numbers"
#include <set>

#include "common/os/say.hpp"
#include "experiments.hpp"

namespace {

using namespace lab::chunks;

std::vector<std::int64_t> chunk_sizes(bool full) {
  if (!full) return {1, 2, 4, 10, 50, 100, 1000, 5000};
  return {1, 2, 3, 4, 5, 8, 10, 16, 32, 50, 64, 100, 1000, 2500, 5000, 10000, 50000};
}
std::set<int> chunk_counts(bool full) {
  std::set<int> all{1, 2, 8 * workers, 32 * workers};
  for (const int turn : {1, 2, 3, 4}) all.merge(std::set{turn * workers - 1, turn * workers, turn * workers + 1});
  for (int count = 1; full && count <= 32; ++count) all.insert(count);
  for (const int none : {0, 4 * workers}) all.erase(none);  // the latter is default_size
  return all;
}
void sizes(lab::Family* family, const lab::Options& options) {
  family->ArgName("size")->ArgsProduct({chunk_sizes(options.full())});
}
void counts(lab::Family* family, const lab::Options& options) {
  family->ArgName("chunks");
  for (const int count : chunk_counts(options.full())) family->Arg(count);
}
void whole_jobs(lab::Family* family, const lab::Options& options) {
  family->ArgName("numbers")->Arg(static_cast<std::int64_t>(items));
  if (options.full()) family->Arg(10'000)->Arg(1'000'000);  // the book's smaller and larger job
}
void shuffled_sizes(lab::Family* family, const lab::Options& options) {
  if (options.full()) return sizes(family, options);
  family->ArgName("size")->Arg(10)->Arg(1000);
}
BENCHMARK(serial)->Apply(lab::busy);
BENCHMARK(shared_by_hand)->Apply(lab::busy);
BENCHMARK(chunk_size)->Apply(lab::blocking_with<sizes>);
BENCHMARK(chunk_count)->Apply(lab::blocking_with<counts>);
BENCHMARK(default_size)->Apply(lab::blocking_with<whole_jobs>);
BENCHMARK(shuffled_size)->Apply(lab::blocking_with<shuffled_sizes>);
BENCHMARK(shuffled_default)->Apply(lab::blocking);
BENCHMARK(empty_chunks)->Apply(lab::blocking);
BENCHMARK(countdowns_apart)->Apply(lab::blocking);
BENCHMARK(countdowns_together)->Apply(lab::blocking);
BENCHMARK(typical_prime)->Apply(lab::busy);
BENCHMARK(typical_composite)->Apply(lab::busy);
BENCHMARK(primes_near)->ArgName("number")->Arg(10'000)->Arg(1'000'000)->Apply(lab::busy);

std::string size(std::int64_t n) { return fmt::format("chunk_size/size:{}", n); }
std::string by_default() { return fmt::format("default_size/numbers:{}", items); }
std::string count(int n) { return n == 4 * workers ? by_default() : fmt::format("chunk_count/chunks:{}", n); }

lab::Measure default_is_fine() {
  std::vector<lab::Point> points;
  for (const std::string& other : {size(100), size(1000), size(5000), count(workers), count(8 * workers)})
    points.push_back(lab::ratio(by_default(), other).at_most(1.1).labelled("against " + other));
  return lab::model(points);
}
lab::Measure one_is_worst() {
  std::vector<lab::Point> points;
  for (const int n : {2, 4, 10, 50, 100, 1000, 5000})
    points.push_back(lab::ratio(size(1), size(n)).at_least(1).labelled(fmt::format("against {}", n)));
  return lab::model(points);
}
lab::Point flat(int n) {
  return lab::ratio(size(n), count(8 * workers)).within(0.92, 1.08).labelled(fmt::format("{} a chunk", n));
}
lab::Measure sawtooth() {
  const auto shrinks = [](std::span<const double> t) { return t[0] / t[1] / (t[2] / t[3]); };
  const lab::Point first = lab::ratio(count(workers + 1), count(workers)),
                   teeth = lab::compute({count(workers + 1), count(workers), count(4 * workers + 1), by_default()},
                                        shrinks);
  return lab::model({first.at_least(1.25).same_code().labelled("W + 1 chunks over W"),
                     teeth.at_least(1).same_code().labelled("the first tooth over the fourth")});
}
// The measured time over the model's, at every point of both curves.
lab::Measure follows_the_model(bool full) {
  std::vector<lab::Point> points;
  const auto add = [&](const std::string& variant, std::size_t chunks) {
    const auto over_model = [chunks, w = static_cast<std::size_t>(workers)](std::span<const double> t) {
      const double streamed = t[2] / kEmptyChunks, messages = static_cast<double>(rounded_up(kCountdowns, w) * w);
      return t[0] / Model{t[1], streamed, std::max(streamed, (t[3] - t[4]) / messages), w}.seconds(chunks);
    };
    const std::vector<lab::Value> inputs{variant, count(1), "empty_chunks", "countdowns_apart", "countdowns_together"};
    points.push_back(lab::compute(inputs, over_model).within(0.85, 1.15).labelled(variant));
  };
  for (const std::int64_t n : chunk_sizes(full)) add(size(n), rounded_up(items, n));
  for (const int n : chunk_counts(full)) {
    if (n > 1) add(count(n), rounded_up(items, size_of(items, n)));
  }
  add(by_default(), static_cast<std::size_t>(4 * workers));
  return lab::model(points);
}

lab::Lab experiment(const lab::Options& options) {
  using namespace lab;
  workers = options.workers.empty() ? std::max(2, machine().workers()) : static_cast<int>(options.workers.back());
  items = options.full() ? 100'000 : options.quick() ? 10'000 : 50'000;
  const Point dispatch = compute({"empty_chunks"}, [](std::span<const double> t) { return t[0] / kEmptyChunks; });
  return {
      .title = "Chunk size: how many numbers should travel together?",
      .question =
          "A pool's map hands out its input in chunks. How long does the same job take in chunks of 1, 2, 10 ... "
          "5000 numbers, and cut into 1, 2, 3 ... chunks?",
      .rows = {{.name = "the numbers in a loop", .value = "serial"},
               {.name = fmt::format("by {} workers, chunks of 100", workers), .value = size(100)},
               {.name = "chunks of 1, over chunks of 100",
                .value = ratio(size(1), size(100)),
                .unit = "x",
                .ask = "How many times as long does the job take in chunks of 1 as in chunks of 100?"},
               {.name = "W + 1 chunks over W, with W workers",
                .value = ratio(count(workers + 1), count(workers)),
                .unit = "x",
                .ask = "With W workers: how many times as long does it take in W + 1 chunks as in W?"},
               {.name = "the pool's own chunks", .value = by_default()},
               {.name = "an empty chunk", .value = dispatch, .ask = "What does a chunk cost that has nothing to do?"},
               {.name = "a prime over a composite", .value = ratio("typical_prime", "typical_composite"), .unit = "x"}},
      .claims =
          {{.id = "chunk.one_is_worst",
            .text = "Of the chunk sizes from 1 to 5000 none takes longer than 1 (1 over the others)",
            .measure = one_is_worst(),
            .book = Book{1.56, 3.18,
                         "High Performance Python, 1st ed.: 2.127 s in chunks of 1, 1.361 s of 2, 0.668 s of 5000"},
            .because = "every chunk is a message there and a message back"},
           {.id = "chunk.halving",
            .text = "Chunks of 2 instead of 1 take at least a third off the time",
            .measure = ratio(size(2), size(1)).at_most(0.67),
            .book = Book{0.50, 0.64,
                         "High Performance Python, 3rd ed., 8 workers: 2.06 s to 1.04 s; 1st ed., 4: 2.13 s to 1.36 s"},
            .because = "where messages are most of the time, half as many are half of it"},
           {.id = "chunk.flat",
            .text = "From 50 numbers a chunk up to eight chunks a worker the time changes by 8 % at most",
            .measure = model({flat(50), flat(100).same_code()}),
            .book = Book{1.0, 1.03, "High Performance Python, 1st ed.: 0.683 s in chunks of 50, 0.668 s of 5000"},
            .because = "there are few enough messages, and enough chunks to share out evenly"},
           {.id = "chunk.two_chunks",
            .text = "Two chunks take about half of the loop's time, however many workers there are",
            .measure = ratio(count(2), "serial").within(0.45, 0.6),
            .book = Book{0.50, 0.51, "High Performance Python, 1st ed., 4 workers: 1.296 s and 1.323 s of 2.582 s"},
            .because = "one worker does a chunk, the others look on",
            .needs = needs_cores(3)},
           {.id = "chunk.default_is_fine",
            .text = "The pool's own choice, four chunks a worker, is at most 10 % slower than any other size",
            .measure = default_is_fine(),
            .book = Book{0.99, 1.0, "High Performance Python, 1st ed.: 0.668 s, as in chunks of 5000"},
            .because = "it is a multiple of the number of workers, and a handful of messages"},
           {.id = "chunk.sawtooth",
            .text = "W + 1 chunks take at least a quarter longer than W, with W workers; and the teeth shrink",
            .measure = sawtooth(),
            .book =
                Book{1.50, 1.60,
                     "High Performance Python, 1st ed., 4 workers: 0.688 s to 1.031 s; 3rd ed., 8: 0.218 s to 0.349 s"},
            .because = "in the last turn one worker has a chunk, and the others wait",
            .needs = needs_cores(workers)},
           {.id = "chunk.shuffle",
            .text = "Shuffled numbers take as long as numbers in order (within 5 %)",
            .measure = model(
                {ratio("shuffled_size/size:10", size(10)).within(0.95, 1.05).labelled("10 a chunk"),
                 ratio("shuffled_size/size:1000", size(1000)).within(0.95, 1.05).same_code().labelled("1000 a chunk"),
                 ratio("shuffled_default", by_default()).within(0.95, 1.05).same_code().labelled("default")}),
            .book = Book{0.98, 1.02, "High Performance Python, 1st ed., every chunk size from 3 on"},
            .because = "primes are spread evenly, so chunks of one size are equal work in either order"},
           {.id = "chunk.prime_cost",
            .text = "A prime costs at least ten times a typical composite, and 8 to 12 times a prime 100 times smaller",
            .measure = model({ratio("typical_prime", "typical_composite").at_least(10).labelled("over a composite"),
                              ratio("primes_near/number:1000000", "primes_near/number:10000")
                                  .within(8, 12)
                                  .same_code()
                                  .labelled("near 1,000,000 over near 10,000")}),
            .book =
                Book{10.3, 53.8, "High Performance Python, 1st ed.: 94 us over 9.1 us; medians of 64.6 us and 1.2 us"},
            .because = "a prime is tried up to its square root, a composite up to its smallest divisor"},
           {.id = "chunk.model",
            .text =
                "The model predicts each time within 15 % from those of one chunk and of empty ones (over predicted)",
            .measure = follows_the_model(options.full()),
            .because = "turns, messages and wake-ups are all that a cut decides",
            .needs = needs_cores(workers)}},
      .floors = {{by_default(), "shared_by_hand"}},
      .trace = chunks_on_workers,
      .takes_workers = true};
}

}  // namespace

int main(int argc, char** argv) try {
  nursery = std::make_unique<lab::start::Nursery>();
  return lab::run(argc, argv, experiment);
} catch (const std::exception& error) {  // the nursery is made before lab::run can report
  lab::say("10_chunk_size: {}\n", error.what());
  return 1;
}
