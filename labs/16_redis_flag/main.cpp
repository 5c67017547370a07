// Lab 16 · Redis: a flag in a server that anybody can ask                            about 20 s
//
// Question   The flag of the prime search is a key in Redis: every look is a message there and back. What does a look cost,
//            what makes it cheaper, and what does it buy that memory does not?
// Predict    A GET over a Unix socket, over TCP, and as one of 128 sent together; the search that polls every 1000.
// Run        make lab-16
// Vary       --every 1 ... 1000000 · --pace python · --workers 4 · --redis HOST:PORT · --number 10000003440671
// Book       High Performance Python, 1st to 3rd ed., "Verifying Primes Using Interprocess Communication", the part on
//            Redis as a flag; "Synchronizing File and Variable Access" for the counter
#include "experiments.hpp"
#include "facts.hpp"

namespace {

namespace verify = lab::verify;
namespace redis = lab::redis;
using redis::Pace;

std::string at(const std::string& flag, const Pace& pace, std::int64_t every) {
  return fmt::format("{}{}/every:{}", flag, pace.suffix, every);
}
std::string without(const Pace& pace) { return std::string("no_flag") + pace.suffix; }

/// The interval from which on polls are under 2 % of the work, by the formula of verify::poll_cost_as_predicted.
lab::Point break_even(const std::string& flag, const Pace& pace) {
  const std::string thousand = at(flag, pace, 1000), none = without(pace);
  return lab::compute({thousand, {thousand, "candidates"}, none, {none, "candidates"}}, [](std::span<const double> x) {
    const double work = x[2] / x[3];
    return std::max(0.0, 1000 * (x[0] / x[1] - work) / (0.02 * work));
  });
}

std::string the_server() {
  const redis::Service& service = redis::service();
  return fmt::format("Redis {}, {}", service.version,
                     service.own ? "our own" : redis::parse_address(redis::named).name());
}

template <class Flag>
std::uint64_t find_with(const std::string& way, const verify::Verification& v) {
  Flag flag(redis::address(way));
  return verify::find_factor(v, flag);
}

/// For Lab::instead: --number by the variant of --by; of a server that --redis names there is one way to be taken.
std::function<int()> answer(const lab::Options& options) {
  const std::vector<std::string> ways = redis::ways();
  verify::Variants variants{
      {"redis_told", [way = ways.front()](const auto& v) { return find_with<redis::Told>(way, v); }}};
  for (const std::string& way : ways)
    variants.emplace_back("redis_" + way, [way](const auto& v) { return find_with<redis::Polled>(way, v); });
  if (verify::by.empty()) verify::by = "redis_" + ways.front();
  if (std::none_of(variants.begin(), variants.end(), [](const auto& v) { return v.first == verify::by; }))
    throw lab::BadOption(fmt::format("--by {}: --redis {} is another way to the server", verify::by, redis::named));
  return verify::answer(options, std::move(variants));
}

std::vector<lab::Row> rows(const std::string& way, const std::vector<Pace>& paces) {
  using lab::ratio;
  const std::string get = "get_" + way + "/depth:1", pipelined = "get_" + way + "/depth:128", flag = "redis_" + way;
  std::vector<lab::Row> rows{{.name = "a GET, there and back",
                              .value = get,
                              .ask = "How long does one GET take, there and back over a Unix socket?"}};
  if (redis::ways().size() == 2) {
    rows.push_back({.name = "over TCP, on the same machine",
                    .value = ratio("get_tcp/depth:1", get),
                    .unit = "x",
                    .ask = "And over TCP, on the same machine: how many times as long?"});
  }
  rows.push_back({.name = "one of 128 GETs sent together",
                  .value = lab::compute({pipelined}, [](std::span<const double> t) { return t[0] / 128; }),
                  .ask = "128 GETs are sent before the first answer is read. How long does each take then?"});
  rows.push_back({.name = "an INCR", .value = "incr"});
  for (const Pace& pace : paces) {
    rows.push_back({.name = fmt::format("the search, polling every 1000, {}", pace.words),
                    .value = verify::cost(at(flag, pace, 1000), without(pace)),
                    .unit = "x",
                    .ask = pace.counts
                               ? "And at Python's pace, 75 ns a candidate?"
                               : "How many times as long does the search take when it polls every 1000 candidates?"});
  }
  rows.push_back({.name = fmt::format("told instead of polling, {}", paces.front().words),
                  .value = verify::cost(at("redis_told", paces.front(), 1000), without(paces.front())),
                  .unit = "x"});
  rows.push_back({.name = fmt::format("polls cost under 2 % from here on, {}", paces.front().words),
                  .value = break_even(flag, paces.front()),
                  .unit = "candidates"});
  return rows;
}

lab::Lab experiment(const lab::Options& options) {
  using lab::Book, lab::ratio;
  verify::choose(options);
  const std::string title = "Redis: a flag in a server that anybody can ask", way = redis::ways().front(),
                    flag = "redis_" + way;
  if (auto instead = answer(options)) return {.title = title, .instead = instead};
  const std::vector<Pace> paces = redis::paces(options);
  std::vector<lab::Point> predicted, memory;
  redis::declare_round_trips(options);
  for (const Pace& pace : paces) {
    redis::declare_searches(pace, options);
    for (const std::int64_t every : pace.every) {
      if (every != 1000)
        predicted.push_back(
            verify::poll_cost_as_predicted(at(flag, pace, every), at(flag, pace, 1000), without(pace), every)
                .labelled(fmt::format("every {}, {}", every, pace.words)));
      memory.push_back(verify::cost(at("raw_value", pace, every), at(flag, pace, every))
                           .at_most(1.05)
                           .labelled(fmt::format("every {}, {}", every, pace.words)));
    }
  }
  const std::string needs_both =
      redis::ways().size() == 2 ? "" : "a server of its own; --redis names one way to another";
  const std::string needs_server = redis::find_server() ? "" : "a redis-server on PATH";
  const bool quick = options.quick();
  return {
      .title = title,
      .question =
          "The flag of the prime search is a key in Redis: every look is a message there and back. What does a look "
          "cost, what makes it cheaper, and what does it buy that memory does not?",
      .rows = rows(way, paces),
      .claims =
          {{.id = "redis.unix_faster",
            .text = "A GET over TCP takes at least 1.3 times as long as over a Unix socket, on the same machine",
            .measure = ratio("get_tcp/depth:1", "get_unix/depth:1").at_least(1.3),
            .book = Book{1.5, 1.5, "High Performance Python, 1st ed., on redis-benchmark: about 50 % more throughput"},
            .because = "a Unix socket hands the bytes over; TCP makes packets, checks and acknowledges them",
            .needs = lab::needs_cores(2) + needs_both},
           {.id = "redis.pipeline_narrows",
            .text = "With 128 GETs sent together TCP's disadvantage shrinks to at most 0.85 of what it is with one",
            .measure = lab::compute({"get_tcp/depth:128", "get_unix/depth:128", "get_tcp/depth:1", "get_unix/depth:1"},
                                    [](std::span<const double> t) { return t[0] / t[1] / (t[2] / t[3]); })
                           .at_most(0.85),
            .because = "the way is paid once for all of them, the command for each",
            .needs = lab::needs_cores(2) + needs_both},
           {.id = "redis.incr_exact",
            .text = "INCR loses nothing, without any lock",
            .measure = lab::correctness([way, quick] { return redis::incr_is_exact(redis::address(way), quick); }),
            .book = Book{0, 0,
                         "High Performance Python, 1st ed., \"Synchronizing File and Variable Access\": 4000 of 4000"},
            .because = "the server does one command after the other"},
           {.id = "redis.poll_cost",
            .text =
                "A candidate costs its work and its share of a round trip, at every interval (measured over predicted)",
            .measure = lab::model(predicted),
            .because = "a worker that asks does nothing else until the answer comes",
            .needs = verify::needs_a_core_each()},
           {.id = "redis.memory_beats_servers",
            .text = "At every interval a candidate with a RawValue costs at most 1.05 of one with Redis",
            .measure = lab::model(memory),
            .book = Book{0.59, 0.65,
                         "High Performance Python, 1st and 2nd ed., RawValue against Redis every 1000, on primes"},
            .because = "a look at memory is a load; a look at a server wakes it and waits for it",
            .needs = verify::needs_a_core_each()},
           {.id = "redis.reach",
            .text = "redis-cli and a replica see a flag that a worker raised",
            .measure = lab::fact(redis::others_see_the_flag),
            .because = "whoever has the address and the password can ask, from any program on any machine",
            .needs = redis::find_program("redis-cli") ? needs_server : "redis-cli on PATH"},
           {.id = "redis.persist",
            .text = "The flag survives the server's restart where a snapshot was taken, and is gone where none was",
            .measure = lab::fact(redis::snapshot_keeps_the_flag),
            .because = "Redis keeps its data in memory; a file holds what it was last told to save",
            .needs = needs_server}},
      .floors = {{"get_" + way + "/depth:1", "bare_ping"}},
      .tables = {{"the server", the_server}},
      .takes_workers = true,
      .prepare = [] { redis::service(); }};
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<lab::Option> own = verify::choices({"redis_unix", "redis_tcp", "redis_told"});
  own.push_back({"--redis",
                 "HOST:PORT or PATH of a server that runs; its password in REDISCLI_AUTH (else: one of our own)",
                 &redis::named});
  verify::by.clear();  // the first of those that are to be had
  verify::measured_pace = "both";
  return lab::run(argc, argv, experiment, std::move(own));
}
