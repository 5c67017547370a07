// Lab 05 · Pipe: what does a message cost?                                          about 20 s
//
// Question   A message goes to another process, and its answer comes back: 1 byte, a page, some MiB. What does it cost
//            by a pipe, a socket pair, a message queue, a ring in shared memory; what of it is the carrier's doing?
// Predict    The time for 1 byte there and back through a pipe; how much sooner it is back through shared memory.
// Run        make lab-05
// Vary       --full · kCapacity in carriers.hpp · taskset -c 0 build/bin/05_pipe
// Book       Mastering Python, 2nd ed., chapter on multiprocessing, names Pipe and publishes no figure: ours
#include <fmt/format.h>

#include "carriers.hpp"
#include "common/harness/lab.hpp"
#include "one_waiter.hpp"
#include "payloads.hpp"
#include "torn_writes.hpp"
#include "turns.hpp"

namespace {

using namespace lab::pipe;
constexpr std::int64_t kPage = 4096, kPayload = 32768, kMiB = 1 << 20;

// A message there and back: every carrier, the largest message it takes, and the sizes of a normal run (--full: all).
struct Carrier {
  const char* name;
  void (*there_and_back)(benchmark::State&);
  std::int64_t largest;
  std::vector<std::int64_t> sizes;
};
const Carrier kCarriers[] = {
    {"pipe", there_and_back<OneWayPipes>, 16 * kMiB, {1, kPage, kPayload, kMiB, 4 * kMiB}},
    {"read_and_write", there_and_back<ReadAndWrite>, 16 * kMiB, {1, kPage}},
    {"stream_socket", there_and_back<DuplexPipe>, 16 * kMiB, {1}},
    {"seqpacket_socket", there_and_back<Seqpacket>, kPayload, {}},
    {"message_queue", there_and_back<MessageQueues>, kPage, {1}},
    {"ring", there_and_back<SleepingRings>, 16 * kMiB, {1}},
    {"spinning_ring", there_and_back<SpinningRings>, 16 * kMiB, {1}},
    {"pipe_same_cpu", there_and_back<OneWayPipes, lab::Distance::same_cpu>, 16 * kMiB, {1}},
    {"ring_same_cpu", there_and_back<SleepingRings, lab::Distance::same_cpu>, 16 * kMiB, {}},
    {"spinning_ring_same_cpu", there_and_back<SpinningRings, lab::Distance::same_cpu>, 1, {1}},
    {"pipe_between_threads",
     there_and_back<OneWayPipes, lab::Distance::other_core, lab::Vehicle::threads>,
     16 * kMiB,
     {1}},
};

void declare_carriers(bool full) {
  for (const Carrier& carrier : kCarriers) {
    std::vector<std::int64_t> sizes = carrier.sizes;
    if (full) sizes = {1, 64, kPage, kPayload, 1 << 18, kMiB, 4 * kMiB, 16 * kMiB};
    if (sizes.empty() || (std::string_view(carrier.name) == "message_queue" && !MessageQueue::permitted())) continue;
    auto* family = benchmark::RegisterBenchmark(carrier.name, carrier.there_and_back)->ArgName("bytes");
    for (const std::int64_t n : sizes) {
      if (n <= carrier.largest) family->Arg(n);
    }
    family->Apply(lab::blocking);
  }
}

// Many messages of 64 bytes, one way.
BENCHMARK(stream<OneWayPipes>)->Name("pipe_stream")->Apply(lab::blocking);
BENCHMARK(stream<SleepingRings>)->Name("ring_stream")->Apply(lab::blocking);
BENCHMARK(stream<SpinningRings>)->Name("spinning_ring_stream")->Apply(lab::blocking);
BENCHMARK(stream<BareRings>)->Name("bare_ring_stream")->Apply(lab::blocking);

// The least two cores can do for one another, and the least that as many bytes cost.
BENCHMARK(cache_line_bounce)->Apply(lab::blocking);
BENCHMARK(memcpy_there_and_back)->ArgName("bytes")->Arg(kMiB)->Arg(4 * kMiB)->Arg(16 * kMiB)->Apply(lab::busy);

// Encoding and decoding, nothing sent.
template <auto make, auto to_bytes = lab::encode<decltype(make())>, auto from_bytes = lab::decode<decltype(make())>>
void code(benchmark::State& state) {
  const auto payload = make();
  for (auto _ : state) lab::expect(state, from_bytes(to_bytes(payload)) == payload, "a payload came back changed");
}
BENCHMARK(code<numbers>)->Name("codec_numbers")->Apply(lab::busy);
BENCHMARK(code<readings>)->Name("codec_structs")->Apply(lab::busy);
BENCHMARK(code<texts>)->Name("codec_texts")->Apply(lab::busy);
BENCHMARK((code<texts, to_json, from_json>))->Name("json_texts")->Apply(lab::busy);
BENCHMARK((code<texts, to_msgpack, from_msgpack>))->Name("msgpack_texts")->Apply(lab::busy);

lab::Lab experiment(const lab::Options& options) {
  using namespace lab;
  declare_carriers(options.full());
  const std::string mib = fmt::format("bytes:{}", kMiB), four = fmt::format("bytes:{}", 4 * kMiB);
  return {
      .title = "Pipe: what does a message cost?",
      .question =
          "A message goes to another process and its answer comes back: 1 byte, a page, some MiB. What does it "
          "cost, and what of it is the carrier's doing?",
      .rows = {{.name = "1 byte by pipe",
                .value = "pipe/bytes:1",
                .ask = "How long does 1 byte take there and back through a pipe?"},
               {.name = "a ring whose ends sleep, over the pipe",
                .value = ratio("ring/bytes:1", "pipe/bytes:1"),
                .unit = "x",
                .ask = "And through shared memory, where the reader must be woken: how many times the pipe's time?"},
               {.name = "a ring whose ends spin", .value = "spinning_ring/bytes:1"},
               {.name = "a page by pipe", .value = "pipe/bytes:4096"},
               {.name = "4 MiB by pipe", .value = "pipe/" + four},
               {.name = "memcpy of as much, twice",
                .value =
                    compute({"memcpy_there_and_back/" + four}, [](std::span<const double> t) { return 2 * t[0]; })},
               {.name = "streaming by pipe over streaming by ring",
                .value = ratio("pipe_stream", "ring_stream"),
                .unit = "x",
                .ask = "One side only sends, the other only takes: how many times as fast as the pipe is the ring?"},
               {.name = "500 strings to bytes and back", .value = "codec_texts"}},
      .claims = {{.id = "pipe.flat",
                  .text = "A page takes as long as a byte",
                  .measure = ratio("pipe/bytes:4096", "pipe/bytes:1").within(0.75, 1.25),
                  .because = "waking the other side outweighs the copying of a page",
                  .needs = needs_cores(2)},
                 {.id = "pipe.bandwidth",
                  .text = "From 1 MiB on the cost follows the bytes: 4 MiB take 3 to 5 times as long as 1 MiB",
                  .measure = ratio("pipe/" + four, "pipe/" + mib).within(3, 5),
                  .because = "each byte is copied into the kernel and out of it, 64 KiB at a time",
                  .needs = needs_cores(2)},
                 {.id = "pipe.codec",
                  .text = "Encoding and decoding 500 strings takes longer than carrying them",
                  .measure = compute({"codec_texts", fmt::format("pipe/bytes:{}", kPayload)},
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
                 {"pipe/" + four, "memcpy_there_and_back/" + four},
                 {"ring_stream", "bare_ring_stream"},
                 {"spinning_ring/bytes:1", "cache_line_bounce"}},
      .tables = {{"payloads", payload_table}}};
}

}  // namespace

int main(int argc, char** argv) { return lab::run(argc, argv, experiment); }
