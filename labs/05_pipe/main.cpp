// Lab 05 · Pipe: what does a message cost?                                          about 20 s
//
// Question   A message goes to another process, and its answer comes back: 1 byte, a page, 16 MiB. What does it cost
//            by a pipe, a socket pair, a message queue, a ring in shared memory; what of it is the carrier's doing?
// Predict    The time for 1 byte there and back through a pipe; how much sooner it is back through shared memory.
// Run        make lab-05
// Vary       --full · kCapacity in carriers.hpp · taskset -c 0 build/bin/05_pipe
// Book       Mastering Python, 2nd ed., chapter on multiprocessing, names Pipe and publishes no figure: ours
#include <fmt/format.h>

#include <algorithm>

#include "carriers.hpp"
#include "common/harness/lab.hpp"
#include "json.hpp"
#include "msgpack_texts.hpp"
#include "payloads.hpp"
#include "serve.hpp"
#include "torn_writes.hpp"
#include "turns.hpp"

namespace {

using namespace lab::pipe;
constexpr int kPage = 4096, kMiB = 1 << 20, kLargest = 16 * kMiB;

void pipe_stream(benchmark::State& state) { stream<OneWayPipes>(state); }
void ring_stream(benchmark::State& state) { stream<Rings<Waiting::blocking>>(state); }
void bare_ring_stream(benchmark::State& state) { stream<BareRings>(state); }
BENCHMARK(pipe_stream)->Apply(lab::blocking);
BENCHMARK(ring_stream)->Apply(lab::blocking);
BENCHMARK(bare_ring_stream)->Apply(lab::blocking);

// The least two cores can do for one another: a word of memory that they write in turn.
void cache_line_bounce(benchmark::State& state) {
  const lab::Shared<std::atomic<std::uint64_t>> turn(0u);
  lab::team(state, lab::Vehicle::processes, 2, [&](int side) -> std::uint64_t {
    std::uint64_t seen = 0;
    while (((seen = turn->load(std::memory_order_acquire)) & 1) != static_cast<std::uint64_t>(side)) {
    }
    turn->store(seen + 1, std::memory_order_release);
    return 0;
  });
}
BENCHMARK(cache_line_bounce)->Apply(lab::blocking);

void memcpy_there_and_back(benchmark::State& state) {
  std::vector<char> here(static_cast<std::size_t>(state.range(0)), 'm'), there(here.size());
  for (auto _ : state) {
    std::memcpy(there.data(), here.data(), here.size());
    benchmark::ClobberMemory();
    std::memcpy(here.data(), there.data(), here.size());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(memcpy_there_and_back)
    ->Apply(lab::busy_with<[](lab::Family* f, const lab::Options&) { f->ArgName("bytes")->Arg(kMiB)->Arg(kLargest); }>);

// Encoding and decoding, nothing sent.
void code(benchmark::State& state, const auto& payload, auto to_bytes, auto from_bytes) {
  for (auto _ : state) lab::expect(state, from_bytes(to_bytes(payload)) == payload, "a payload came back changed");
}
template <class T>
void codec(benchmark::State& state, const T& payload) {
  code(state, payload, lab::encode<T>, lab::decode<T>);
}
void codec_numbers(benchmark::State& state) { codec(state, numbers()); }
void codec_texts(benchmark::State& state) { codec(state, texts()); }
void json_texts(benchmark::State& state) { code(state, texts(), to_json, parse_json_texts); }
BENCHMARK(codec_numbers)->Apply(lab::busy);
BENCHMARK(codec_texts)->Apply(lab::busy);
BENCHMARK(json_texts)->Apply(lab::busy);
#ifdef LAB_MSGPACK
void msgpack_texts(benchmark::State& state) { code(state, texts(), to_msgpack, from_msgpack); }
BENCHMARK(msgpack_texts)->Apply(lab::busy);
#endif

// A carrier's sizes in bytes: the few, or with --full every one up to the largest it can carry.
template <std::int64_t largest, std::int64_t... few>
void bytes(lab::Family* family, const lab::Options& options) {
  family->ArgName("bytes");
  if (!options.full()) (family->Arg(few), ...);
  for (std::int64_t n : {1, 64, kPage, 32768, 262144, kMiB, kLargest}) {
    if (options.full() && n <= largest) family->Arg(n);
  }
}
void carry(const char* name, void (*function)(benchmark::State&), lab::AddArguments with_sizes) {
  lab::declare(benchmark::RegisterBenchmark(name, function), lab::Kind::blocking, with_sizes);
}
void declare_carriers(bool full) {
  using enum lab::Distance;
  using Ring = Rings<Waiting::blocking>;
  using SpinningRing = Rings<Waiting::spinning>;
  carry("pipe", there_and_back<OneWayPipes>, bytes<kLargest, 1, kPage, 32768, kMiB, kLargest>);
  carry("read_and_write", there_and_back<ReadAndWrite>, bytes<kLargest, 1, kPage>);
  carry("stream_socket", there_and_back<DuplexPipe>, bytes<kLargest, 1>);
  carry("ring", there_and_back<Ring>, bytes<kLargest, 1>);
  carry("spinning_ring", there_and_back<SpinningRing>, bytes<kLargest, 1>);
  carry("pipe_same_cpu", there_and_back<OneWayPipes, same_cpu>, bytes<kLargest, 1>);
  carry("spinning_ring_same_cpu", there_and_back<SpinningRing, same_cpu>, bytes<1, 1>);
  carry("pipe_between_threads", there_and_back<OneWayPipes, other_core, lab::Vehicle::threads>, bytes<kLargest, 1>);
  try {
    MessageQueues();
    carry("message_queue", there_and_back<MessageQueues>, bytes<kPage, 1>);
  } catch (const std::system_error& error) {
    fmt::print(stderr, "POSIX message queues are left out: {}. See /proc/sys/fs/mqueue and ulimit -q.\n", error.what());
  }
  if (!full) return;
  carry("seqpacket_socket", there_and_back<Seqpacket>, bytes<32768>);
  carry("ring_same_cpu", there_and_back<Ring, same_cpu>, bytes<kLargest>);
  lab::blocking(benchmark::RegisterBenchmark("spinning_ring_stream", stream<SpinningRing>));
  lab::busy(benchmark::RegisterBenchmark("codec_structs", codec<std::vector<Reading>>, readings()));
}

lab::Seen two_writers_tear() {
  const TornWrites small = two_writers(atomic_size(), 2000);
  TornWrites large;
  const lab::Deadline deadline = lab::Clock::now() + std::chrono::seconds(2);
  while (!large.torn && lab::Clock::now() < deadline) large = two_writers(5 * atomic_size(), 500);
  return {.holds = large.torn && !small.torn,
          .what = fmt::format("{} messages of {} bytes whole{}; of {} bytes {} whole {}", small.whole, atomic_size(),
                              small.torn ? " before one was torn" : "", 5 * atomic_size(), large.whole,
                              large.torn ? "before one was torn" : "and none torn in 2 s"),
          .known = large.torn || small.torn};
}

lab::Seen one_waiter_serves_all() {
  constexpr int kPipes = 8, kMessages = 100;
  const Served served = serve_pipes_and_sentinels(kPipes, 2, kMessages);
  return {.holds = served.messages == kPipes * kMessages && served.ends == kPipes && served.sentinels == 2,
          .what = fmt::format("{} of {} messages, {} ends of file, {} ended processes, by {} waits", served.messages,
                              kPipes * kMessages, served.ends, served.sentinels, served.waits)};
}

// Time of the largest message over 16 times that of 1 MiB (the wake-up counted once), plus what memcpy takes longer for
// 16 MiB than for 16 times 1 MiB: twice, since a pipe copies into the kernel and out of it.
lab::Point follows_bandwidth() {
  const auto at = [](const char* what, int n) { return fmt::format("{}/bytes:{}", what, n); };
  return lab::compute({at("pipe", kLargest), at("pipe", 1), at("pipe", kMiB), at("memcpy_there_and_back", kLargest),
                       at("memcpy_there_and_back", kMiB)},
                      [](std::span<const double> t) {
                        constexpr double kTimes = kLargest / kMiB;
                        return t[0] / (t[1] + kTimes * (t[2] - t[1]) + 2 * (t[3] - kTimes * t[4]));
                      })
      .within(0.75, 1.25)
      .labelled("16 MiB");
}

lab::Lab experiment(const lab::Options& options) {
  using namespace lab;
  declare_carriers(options.full());
  return {.title = "Pipe: what does a message cost?",
       .question = "A message goes to another process and its answer comes back: 1 byte, a page, 16 MiB. What does it "
                   "cost, and what of it is the carrier's doing?",
       .rows = {{.name = "1 byte by pipe",
                 .value = "pipe/bytes:1",
                 .ask = "One byte there and back through a pipe, in microseconds?"},
                {.name = "1 byte by ring",
                 .value = "ring/bytes:1",
                 .ask = "And through shared memory, when the reader must be woken?"},
                {.name = "a page by pipe", .value = "pipe/bytes:4096"},
                {.name = "1 MiB by pipe", .value = fmt::format("pipe/bytes:{}", kMiB)},
                {.name = "streamed by pipe, a message", .value = "pipe_stream"},
                {.name = "streamed by ring, a message", .value = "ring_stream"}},
       .claims = {{.id = "pipe.size",
                   .text =
                       "A page takes as long as a byte, and 16 MiB take 16 times as long as 1 MiB, once memcpy's extra "
                       "time for so much memory is allowed for",
                   .measure = model({ratio("pipe/bytes:4096", "pipe/bytes:1").within(0.75, 1.25).labelled("a page"),
                                     follows_bandwidth()}),
                   .because = "waking the other side outweighs the copying of a page, and not that of many",
                   .needs = needs_cores(2)},
                  {.id = "pipe.codec",
                   .text = "Encoding and decoding 500 strings takes longer than carrying them",
                   .measure = compute({"codec_texts", "pipe/bytes:32768"},
                                      [](std::span<const double> t) { return t[0] / (t[1] / 2); })
                                  .at_least(1),
                   .because = "the pipe copies blocks, the codec makes a string at a time"},
                  {.id = "pipe.ring_streams",
                   .text = "A ring in shared memory streams small messages at least 5 times as fast as a pipe",
                   .measure = ratio("pipe_stream", "ring_stream").at_least(5),
                   .because = "while both sides are busy nobody calls the kernel",
                   .needs = needs_cores(2)},
                  {.id = "pipe.wake_up_is_the_price",
                   .text = "A message that must wake its reader costs as much through a ring as through a pipe",
                   .measure = ratio("ring/bytes:1", "pipe/bytes:1").within(0.75, 1.25),
                   .because = "nearly all of it is the wake-up",
                   .needs = needs_cores(2)},
                  {.id = "pipe.two_writers",
                   .text = "Two writers without a lock tear messages larger than the atomic size, and no smaller ones",
                   .measure = fact(two_writers_tear),
                   .because = "the kernel writes up to PIPE_BUF bytes in one piece, and more as there is room"},
                  {.id = "pipe.wait_many",
                   .text = "One waiter serves eight pipes and two processes' sentinels",
                   .measure = correctness(one_waiter_serves_all),
                   .because = "it is told all that are ready"}},
       .floors = {{"pipe/bytes:1", "read_and_write/bytes:1"},
                  {"pipe/bytes:4096", "read_and_write/bytes:4096"},
                  {fmt::format("pipe/bytes:{}", kLargest), fmt::format("memcpy_there_and_back/bytes:{}", kLargest)},
                  {"ring_stream", "bare_ring_stream"},
                  {"spinning_ring/bytes:1", "cache_line_bounce"}},
       .tables = {{"payloads", payload_table}}};
}

}  // namespace

int main(int argc, char** argv) { return lab::run(argc, argv, experiment); }
