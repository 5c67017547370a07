// The experiment around a flag, the same in all labs that have one: a team searches a number again and again, with polls at
// an interval, and what is read of it.
#pragma once

#include <sched.h>

#include <atomic>

#include "answer.hpp"
#include "common/os/mapping.hpp"

namespace lab::verify {

/// A number the labs measure with, and its factor (0: none).
struct Number {
  std::uint64_t n, factor;
  const char* name;
};
enum { kSmall, kFirst, kSecond, kPrime };  // places in `measured`

/// What the options ask for, and the numbers: the book's under --full, else some of a hundredth of the work, with their
/// factors at the same places. For all variants of a lab.
inline Verification chosen;
inline std::vector<Number> measured;
inline void choose(const Options& options) {
  using namespace numbers;
  measured = {{small_trivial_non_prime, 5, "small non-prime"},
              {small_non_prime_1, 953111, "non-prime 1"},
              {small_non_prime_2, 1715683, "non-prime 2"},
              {small_prime, 0, "prime 1"}};
  if (options.full()) {
    measured = {{trivial_non_prime, 5, "small non-prime"},
                {expensive_non_prime_1, 95362951, "non-prime 1"},
                {expensive_non_prime_2, 171656941, "non-prime 2"},
                {prime18_1, 0, "prime 1"},
                {prime18_2, 0, "prime 2"}};
  }
  chosen = verification(options, measured[kPrime].n);
}

/// For Claim::needs: what is predicted of a search holds where each worker has a core. Where they take turns on one, a turn
/// of milliseconds can be longer than the search, and who gets it first decides.
inline std::string needs_a_core_each() {
  return chosen.workers > machine().workers() ? fmt::format("a core for each of the {} workers", chosen.workers) : "";
}

/// All workers meet here before each search; the last to arrive runs `begin`. They spin: they have something to do.
class Meeting {
 public:
  template <class Begin>
  void pass(std::uint32_t size, const Begin& begin) {
    const std::uint32_t turn = turn_.load();
    if (arrived_.fetch_add(1) + 1 == size) {
      begin();
      arrived_.store(0);
      turn_.store(turn + 1);
    }
    for (int spins = 0; turn_.load() == turn;) {
      if (++spins > 1000) ::sched_yield();  // more workers than cores: whoever is awaited needs one
    }
  }

 private:
  std::atomic<std::uint32_t> arrived_{0}, turn_{0};
};

/// A benchmark: the number is searched again and again by one team. `factor`: what must be found; 0 for a prime. Counters,
/// a search: candidates and polls of all workers, and each worker's candidates_<w> and stopped_us_<w>.
template <class Flag, class Search = TwoLevels>
void search_again_and_again(benchmark::State& state, const Verification& v, Flag& flag, std::uint64_t factor = 0,
                            const Search& search_one = {}) {
  struct Account {  // of one worker
    std::uint64_t candidates = 0, polls = 0, finds = 0, wrong = 0;
    std::int64_t searching = 0;  // ns from the start of a search to where this worker stopped
  };
  const std::vector<Range> cut = pieces(v);
  const auto size = static_cast<std::uint32_t>(cut.size());
  const Shared<Meeting> meeting;
  const SharedArray<Account> accounts(size);
  team(state, Vehicle::processes, static_cast<int>(size), [&](int worker) {
    return with_connection(flag, [&](auto& polled) {
      Account& mine = accounts[worker];
      meeting->pass(size, [&] { polled.clear(); });
      const std::int64_t begin = now_ns();
      const Searched done = search_one(v, cut[worker], polled);
      mine.searching += now_ns() - begin;
      mine.candidates += done.candidates;
      mine.polls += done.polls;
      mine.finds += done.factor != 0;
      mine.wrong += done.factor != 0 && done.factor != factor;
      return done.factor;
    });
  });
  const auto searches = static_cast<std::uint64_t>(state.max_iterations);
  const auto a_search = [&](auto sum) { return static_cast<double>(sum) / static_cast<double>(searches); };
  Account all;
  std::uint64_t expected = 0;
  for (std::uint32_t w = 0; w < size; ++w) {
    const Account& one = accounts[w];
    all.candidates += one.candidates, all.polls += one.polls, all.finds += one.finds, all.wrong += one.wrong;
    expected += (cut[w].to - cut[w].from + 1) / 2 * searches;
    state.counters[fmt::format("candidates_{}", w)] = a_search(one.candidates);
    state.counters[fmt::format("stopped_us_{}", w)] = 1e-3 * a_search(one.searching);
  }
  state.counters["candidates"] = a_search(all.candidates);
  state.counters["polls"] = a_search(all.polls);
  expect(state, all.wrong == 0 && all.finds == (factor ? searches : 0), "a wrong verdict");
  expect(state, factor || all.candidates == expected, "a prime was called prime before all its candidates were tested");
}

/// Variants every lab has. The prime's candidates without a flag ...
inline void without_flag(benchmark::State& state) {
  NoFlag none;
  Verification v = chosen;
  v.every = never;
  search_again_and_again(state, v, none);
}
/// ... with polls every state.range(0) candidates ...
template <class Flag, class Search = TwoLevels>
void polled(benchmark::State& state, Flag flag, std::uint64_t most_polls = never, const Search& search_one = {}) {
  Verification v = chosen;
  v.every = static_cast<std::uint64_t>(state.range(0));
  v.most_polls = most_polls;
  search_again_and_again(state, v, flag, 0, search_one);
}
/// ... and the number at place state.range(0), to its verdict.
template <class Flag>
void verified(benchmark::State& state, Flag flag) {
  const Number& verify_this = measured[static_cast<std::size_t>(state.range(0))];
  Verification v = chosen;
  v.n = verify_this.n;
  search_again_and_again(state, v, flag, verify_this.factor);
}

/// The intervals compared: the powers of ten to a million (some of them with --quick), 500, and that of --every.
inline std::vector<std::int64_t> intervals(const Options& options) {
  std::vector<std::int64_t> all{1, 10, 100, 500, 1000, 10'000, 100'000, 1'000'000};
  if (options.quick()) all = {1, 500, 1000, 1'000'000};
  const auto own = static_cast<std::int64_t>(std::min(chosen.every, never / 2));
  if (std::find(all.begin(), all.end(), own) == all.end()) all.push_back(own);
  std::sort(all.begin(), all.end());
  return all;
}
inline void at_all_intervals(Family* family, const Options& options) {
  family->ArgName("every");
  for (const std::int64_t interval : intervals(options)) family->Arg(interval);
}
inline void at_1(Family* family, const Options&) { family->ArgName("every")->Arg(1); }
inline void at_1_and_1000(Family* family, const Options&) { family->ArgName("every")->Arg(1)->Arg(1000); }
inline void for_large_numbers(Family* family, const Options&) {
  family->ArgName("number")->Arg(kFirst)->Arg(kSecond)->Arg(kPrime);
}

/// Nanoseconds a worker needs for a candidate.
inline Point ns_a_candidate(const std::string& variant) {
  return compute({variant, {variant, "candidates"}, {variant, "workers"}},
                 [](std::span<const double> x) { return 1e9 * x[0] * x[2] / x[1]; });
}
/// How many times as much a candidate costs as in another variant, however many each tests.
inline Point cost(const std::string& variant, const std::string& other) {
  return compute({variant, {variant, "candidates"}, other, {other, "candidates"}},
                 [](std::span<const double> x) { return x[0] / x[1] / (x[2] / x[3]); });
}
/// What a poll at every candidate adds to each, in nanoseconds.
inline Point ns_a_poll(const std::string& variant, const std::string& without) {
  return compute({variant, {variant, "candidates"}, without, {without, "candidates"}, {variant, "workers"}},
                 [](std::span<const double> x) { return 1e9 * x[4] * (x[0] / x[1] - x[2] / x[3]); });
}
/// A candidate's cost with a poll every `interval`, over its predicted one: the work of `without` a flag, and an interval's
/// share of a round trip. That is what a poll every 1000, in `thousand`, adds to a thousand candidates.
inline Point poll_cost_as_predicted(const std::string& polled, const std::string& thousand, const std::string& without,
                                    std::int64_t interval) {
  return compute({polled, {polled, "candidates"}, thousand, {thousand, "candidates"}, without, {without, "candidates"}},
                 [interval](std::span<const double> x) {
                   const double work = x[4] / x[5], round_trip = 1000 * (x[2] / x[3] - work);
                   return x[0] / x[1] / (work + round_trip / static_cast<double>(interval));
                 })
      .within(0.8, 1.2);
}
/// The time of the number at that place over the prime's, over what is predicted of `workers`.
inline Point stops_as_predicted(const std::string& variant, const std::string& prime, int number_at, int workers) {
  const double predicted = stop_fraction(measured[number_at].n, measured[number_at].factor, workers);
  return compute({variant, prime}, [=](std::span<const double> t) { return t[0] / t[1] / predicted; })
      .within(0.95, 1.05)
      .same_code()
      .labelled(fmt::format("{}: {:.4f} of the prime's time", measured[number_at].name, predicted));
}
/// The same of the variants "<function>/number:<place>".
inline Point stops_as_predicted(const std::string& function, int number_at, int workers) {
  return stops_as_predicted(fmt::format("{}/number:{}", function, number_at),
                            fmt::format("{}/number:{}", function, int{kPrime}), number_at, workers);
}

}  // namespace lab::verify
