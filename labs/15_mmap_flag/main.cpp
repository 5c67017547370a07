// Lab 15 · mmap: a flag in a mapping                                                about 20 s
//
// Question   The flag is a byte of a mapping. Does it matter how the byte is read, what the mapping is made of, and how the
//            loop counts to the next poll?
// Predict    What a poll costs: of the byte as memory, by seek and read, by a system call.
// Run        make lab-15
// Vary       --every 1 ... 1000000 · --pace python · --workers 4 · --number 10000003440671 --by pread
// Book       High Performance Python, 1st to 3rd ed., "Verifying Primes Using Interprocess Communication", the parts on
//            mmap as a flag and on mmap as a flag redux
#include "counted_search.hpp"
#include "labs/12_verify_pool/experiment.hpp"
#include "labs/14_raw_value/raw_value.hpp"
#include "mmap_flag.hpp"
#include "traps.hpp"

namespace {

namespace verify = lab::verify;
using namespace lab::mmap_flag;
using RawValue = lab::sharedctypes::Flag<lab::sharedctypes::RawValue<std::uint8_t>>;

const auto count_each_candidate = [](const verify::Verification& v, lab::Range piece, auto& flag) {
  return v.counts ? counted_search(v.n, piece, v.every, flag, lab::PythonPace{v.counts})
                  : counted_search(v.n, piece, v.every, flag);
};

// Ways to read the byte, and the two loops.
void no_flag(benchmark::State& state) { verify::without_flag(state); }
void mapped_byte(benchmark::State& state) { verify::polled(state, MappedByte()); }
void seek_and_read(benchmark::State& state) { verify::polled(state, SeekAndRead()); }
void pread(benchmark::State& state) { verify::polled(state, PreadFlag(), 50'000); }
void raw_value(benchmark::State& state) { verify::polled(state, RawValue()); }
void counted(benchmark::State& state) { verify::polled(state, MappedByte(), lab::never, count_each_candidate); }
BENCHMARK(no_flag)->Apply(lab::busy);
BENCHMARK(mapped_byte)->Apply(lab::busy_with<verify::at_all_intervals>);
BENCHMARK(seek_and_read)->Apply(lab::busy_with<verify::at_all_intervals>);
BENCHMARK(pread)->Apply(lab::busy_with<verify::at_all_intervals>);
BENCHMARK(raw_value)->Apply(lab::busy_with<verify::at_1>);
BENCHMARK(counted)->Apply(lab::busy_with<verify::at_1_and_1000>);

// What the mapping is made of: mapped_byte's is anonymous.
void file_on_disk(benchmark::State& state) { verify::polled(state, MappedByte(backing::on_disk)); }
void file_in_memory(benchmark::State& state) { verify::polled(state, MappedByte(backing::in_memory)); }
void populated(benchmark::State& state) { verify::polled(state, MappedByte(backing::populated)); }
void huge_page(benchmark::State& state) { verify::polled(state, MappedByte(backing::huge)); }
BENCHMARK(file_on_disk)->Apply(lab::busy_with<verify::at_1>);
BENCHMARK(file_in_memory)->Apply(lab::busy_with<verify::at_1>);
BENCHMARK(populated)->Apply(lab::busy_with<verify::at_1>);

void mapped_byte_verifies(benchmark::State& state) { verify::verified(state, MappedByte()); }
BENCHMARK(mapped_byte_verifies)->Apply(lab::busy_with<verify::for_large_numbers>);

lab::Measure backing_does_not_matter() {
  std::vector<std::string> variants{"file_on_disk", "file_in_memory", "populated"};
  if (has_huge_pages()) variants.push_back("huge_page");
  std::vector<lab::Point> points;
  for (const std::string& variant : variants) {
    points.push_back(
        lab::ratio(variant + "/every:1", "mapped_byte/every:1").within(0.98, 1.02).same_code().labelled(variant));
  }
  return lab::model(points);
}

lab::Seen private_is_not_shared() {
  MappedByte shared, mistake(backing::mistake);
  const bool sees_shared = seen_by_others(shared), sees_mistake = seen_by_others(mistake);
  mistake.clear();
  // Two workers, one of whom finds the factor: what does the other do?
  const verify::Verification v{.n = lab::numbers::small_non_prime_2, .workers = 2};
  const std::vector<lab::Range> cut = verify::pieces(v);
  const auto reports = lab::run_team(
      {.size = 2}, [&](int worker) { return verify::search_piece(v, cut[worker], mistake).candidates; });
  const std::uint64_t all = (cut[0].to - cut[0].from + 1) / 2;
  return {sees_shared && !sees_mistake && reports[0].answer == all,
          fmt::format("a shared byte was {}seen by the other process, a private one was {}seen; with it, the worker that did "
                      "not find the factor tested {} of its {} candidates",
                      sees_shared ? "" : "not ", sees_mistake ? "" : "not ", reports[0].answer, all)};
}

lab::Seen truncation_kills() {
  const std::string open = after_truncation(false), sealed = after_truncation(true);
  return {open.starts_with("signal 7") && sealed == "status 0",
          fmt::format("after another process had cut the file, looking at the byte ended with {}; of a sealed file, with {}",
                      open, sealed)};
}

template <class Flag>
std::uint64_t find_with(const verify::Verification& v, Flag flag) {
  return verify::find_factor(v, flag);
}

lab::Lab experiment(const lab::Options& options) {
  using lab::Book, lab::ratio;
  verify::choose(options);
  if (has_huge_pages()) lab::busy_with<verify::at_1>(benchmark::RegisterBenchmark("huge_page", huge_page));
  return {
      .title = "mmap: a flag in a mapping",
      .question = "The flag is a byte of a mapping. Does it matter how the byte is read, what the mapping is made of, and how "
                  "the loop counts to the next poll?",
      .rows = {{.name = "a candidate, without a flag", .value = verify::ns_a_candidate("no_flag"), .unit = "ns"},
               {.name = "the byte read as memory: a poll adds",
                .value = verify::ns_a_poll("mapped_byte/every:1", "no_flag"),
                .unit = "ns",
                .ask = "How many nanoseconds does a poll of the mapped byte add to a candidate?"},
               {.name = "by seek and read",
                .value = verify::ns_a_poll("seek_and_read/every:1", "no_flag"),
                .unit = "ns",
                .ask = "And a poll by seek and read, on the same mapping?"},
               {.name = "by pread, a system call",
                .value = verify::ns_a_poll("pread/every:1", "no_flag"),
                .unit = "ns",
                .ask = "And a poll by pread, on the file itself?"},
               {.name = "two loops, polled every 500", .value = ratio("mapped_byte/every:500", "no_flag"), .unit = "x"},
               {.name = "one loop with a counter, polled every 1000", .value = ratio("counted/every:1000", "no_flag"), .unit = "x"},
               {.name = "non-prime 1, of the prime's time",
                .value = ratio("mapped_byte_verifies/number:1", "mapped_byte_verifies/number:3"),
                .unit = "x"}},
      .claims =
          {{.id = "mmap.same_as_raw",
            .text = "A mapped byte and a RawValue cost the same, polled at every candidate",
            .measure = ratio("mapped_byte/every:1", "raw_value/every:1").within(0.98, 1.02).same_code(),
            .book = Book{0.98, 1.0, "High Performance Python, 1st and 2nd ed., mmap against RawValue, all numbers"},
            .because = "a RawValue is a mapped byte: both polls are one load"},
           {.id = "mmap.two_level_free",
            .text = "Two loops with a poll every 500 candidates take no longer than the search without a flag",
            .measure = ratio("mapped_byte/every:500", "no_flag").at_most(1.02).same_code(),
            .book = Book{1.01, 1.015, "High Performance Python, 1st and 2nd ed., mmap redux against the pool without a flag"},
            .because = "the inner loop knows of no flag"},
           {.id = "mmap.backing_does_not_matter",
            .text = "A poll costs the same whatever is behind the shared page",
            .measure = backing_does_not_matter(),
            .because = "once the page is there, no load asks where it came from"},
           {.id = "mmap.private_is_not_shared",
            .text = "A private mapping is no flag: nobody sees what another process writes to it, and no search stops",
            .measure = lab::correctness(private_is_not_shared),
            .because = "the first write gives the writer a page of its own"},
           {.id = "mmap.truncate_kills",
            .text = "Whoever looks at a mapped file that another process has cut is killed; a sealed file cannot be cut",
            .measure = lab::correctness(truncation_kills),
            .because = "the mapping stays, the page behind it is gone: SIGBUS"}},
      .floors = {{"mapped_byte/every:1", "no_flag"}},
      .tables = {{"what the flags of mmap change", what_flags_change}},
      .takes_workers = true,
      .instead = verify::answer(
          options, {{"mapped_byte", [](const auto& v) { return find_with(v, MappedByte()); }},
                    {"seek_and_read", [](const auto& v) { return find_with(v, SeekAndRead()); }},
                    {"pread", [](const auto& v) { return find_with(v, PreadFlag()); }},
                    {"file_on_disk", [](const auto& v) { return find_with(v, MappedByte(backing::on_disk)); }},
                    {"file_in_memory", [](const auto& v) { return find_with(v, MappedByte(backing::in_memory)); }}})};
}

}  // namespace

int main(int argc, char** argv) {
  return lab::run(argc, argv, experiment,
                  verify::choices({"mapped_byte", "seek_and_read", "pread", "file_on_disk", "file_in_memory"}));
}
