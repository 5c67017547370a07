// Readers of messages against bytes from somebody who wishes them ill: shared by the fuzz target and its replay in the
// tests.
#pragma once

#include <fcntl.h>

#include <string_view>

#include "pool.hpp"

namespace lab::pool {

/// A job takes in the replies that these bytes are, as a pool does it; what they do not answer is lost.
/// Throws std::logic_error when the job is not complete then: somebody would wait for it for ever.
inline void accept_hostile_replies(std::string_view bytes, Job& job, std::size_t chunks) {
  auto [reader, writer] = make_pipe();
  write_all(writer.get(), std::as_bytes(std::span(bytes)));
  writer.reset();
  Inbox inbox;
  std::size_t answered = 0;
  bool complete = false;
  try {
    while (inbox.fill(reader.get()) == Inbox::Got::bytes) {
      while (const auto frame = inbox.next()) {
        const auto [number, kind, rest] = parse_reply(*frame);
        if (kind == Reply::initializer_failed) continue;
        if (answered == chunks || number != answered + 1) throw Garbled("it replies to what it was not sent");
        complete = complete_with(job, answered++, outcome_of(job.task, kind, rest));
      }
    }
  } catch (const Garbled&) {
  }
  const Outcome lost{.values = {}, .error = std::make_exception_ptr(WorkerLost("the worker ended"))};
  while (answered < chunks) complete = complete_with(job, answered++, lost);
  if (!complete) throw std::logic_error("a job is not complete though all its chunks are accounted for");
}

/// Feeds the bytes to every reader of messages, which must answer with a value or a sentence: never read beyond its
/// memory, allocate much more than what is there, or wait. The first byte says which reader.
inline void read_hostile_bytes(std::string_view bytes) {
  using Result = std::vector<std::string>;
  constexpr std::size_t kChunks = 3, kSize = 2, kItems = 5;
  if (bytes.empty()) return;
  const int reader = static_cast<unsigned char>(bytes.front()) % 5;
  bytes.remove_prefix(1);
  bytes = bytes.substr(0, 1 << 15);  // fits into a pipe, so that one thread can play both ends
  if (reader == 0) {
    ApplyJob<Result> job("task", Chunks{.items = 1, .size = 1, .ends = {0}}, {});
    accept_hostile_replies(bytes, job, 1);
    (void)job.ready({});
  } else if (reader == 1) {
    MapJob<Result> job("task", Chunks{.items = kItems, .size = kSize, .ends = {0, 0, 0}}, {});
    accept_hostile_replies(bytes, job, kChunks);
  } else if (reader <= 3) {
    Stream<Result> stream("task", kSize, reader == 2);
    for (std::size_t i = 0; i < kChunks; ++i) stream.add("", i == kChunks - 1 ? 1 : kSize, SIZE_MAX);
    stream.end(nullptr);
    accept_hostile_replies(bytes, stream, kChunks);
    std::size_t parts = 0;
    while (stream.take(std::chrono::nanoseconds(0))) ++parts;
    if (parts != kChunks) throw std::logic_error("a stream has another number of parts than of chunks");
  } else {  // chunks, as a worker reads them
    [[maybe_unused]] static const bool known =
        register_task(
            "n", +[] { return 1; }) &&
        register_task(
            "i", +[](int x) { return x; }) &&
        register_task(
            "s", +[](std::vector<std::string> texts) { return texts; }) &&
        register_task(
            "e", +[](int x) { return x == 0 ? throw std::runtime_error("0") : x; }) &&
        register_task(
            "x", +[](int x) { throw start::Exit(x); });
    static const Descriptor nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    auto [tasks, writer] = make_pipe();
    write_all(writer.get(), std::as_bytes(std::span(bytes)));
    writer.reset();
    Begun begun;
    for (std::uint64_t number = 1; number <= Begun::kSlots; ++number) begun.offer(number);
    try {
      serve({}, tasks.get(), nowhere.get(), begun);
    } catch (const MessageError&) {  // its sentence, with which the worker ends
    }
  }
}

}  // namespace lab::pool
