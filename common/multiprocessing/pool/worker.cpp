#include "worker.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include "common/machine/placement.hpp"
#include "common/multiprocessing/process/worker.hpp"
#include "common/os/message.hpp"
#include "task.hpp"

namespace lab::pool {
namespace {

std::string words_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const start::Exit& exit) {
    return "start::Exit: it asked to end its worker with " +
           (exit.text.empty() ? fmt::format("status {}", exit.status) : "the words: " + exit.text);
  } catch (...) {
    return sentence_of(thrown);
  }
}

}  // namespace

Identity& this_thread() {
  static thread_local Identity identity;
  return identity;
}

std::tuple<std::uint64_t, Reply, std::string_view> parse_reply(std::string_view frame) {
  constexpr std::size_t head = 1 + sizeof(std::uint64_t);
  if (frame.size() <= head || frame[0] != Encoder::tag<std::uint64_t>() ||
      std::string_view("vei").find(frame[head]) == std::string_view::npos)
    throw Garbled("a reply is cut short or of no known kind");
  return {decode<std::uint64_t>(frame.substr(0, head)), static_cast<Reply>(frame[head]), frame.substr(head + 1)};
}

std::string error_reply(const std::string& task, const std::exception& error) {
  return static_cast<char>(Reply::error) +
         encode_error(error, fmt::format("raised in task {} by {} (pid {})", task, current_worker(), ::getpid()));
}

void run_chunk(const std::string& task, std::uint64_t items, Decoder& in, Encoder& reply) {
  const std::size_t start = reply.bytes.size();
  try {
    const Thunk& thunk = thunk_named(task);
    if (const auto given = in.get<ArgumentCount>(); given != thunk.arguments)
      throw std::invalid_argument(fmt::format("wrong number of arguments for task {}: it takes {} and was given {}",
                                              task, thunk.arguments, given));
    reply.bytes.push_back(static_cast<char>(Reply::values));
    for (std::uint64_t item = 0; item < items; ++item) thunk.run(in, reply);
    in.finish();
  } catch (const std::exception& error) {
    reply.bytes.resize(start);
    reply.bytes += error_reply(task, error);
  }
}

void run_initializer(const std::string& task, std::string_view arguments) {
  Decoder in(arguments);
  Encoder ignored;
  thunk_named(task).run(in, ignored);
  in.finish();
}

int serve(const WorkerPlan& plan, int tasks, int replies, Begun& begun) {
  this_thread() = {plan.name, plan.pool};
  Encoder reply;
  // Sends what `append` puts behind a reply's head; too long an answer is an error that says so.
  const auto answer = [&](std::uint64_t number, const std::string& task, auto append) {
    reply.bytes.clear();
    reply.put(number);
    const std::size_t head = reply.bytes.size();
    append();
    if (const std::size_t length = reply.bytes.size(); length > kFrameLimit) {
      reply.bytes.resize(head);
      reply.bytes += error_reply(
          task, MaybeEncodingError(fmt::format("{} bytes are beyond the limit of {} for the results of a chunk", length,
                                               kFrameLimit)));
    }
    send_message(replies, reply.bytes);
  };
  // A worker that is woken on the CPU of who wakes it must not take that CPU: the others would get their chunks
  // milliseconds later.
  const sched_param none{};
  ::sched_setscheduler(0, SCHED_BATCH, &none);
  if (const auto thrown = attempt([&] {
        if (plan.cpu >= 0) bind_to(std::array{plan.cpu});
        if (!plan.initializer.empty()) run_initializer(plan.initializer, plan.initargs);
      })) {
    answer(0, plan.initializer,
           [&] { reply.bytes += static_cast<char>(Reply::initializer_failed) + words_of(thrown); });
    return 1;
  }
  begun.ready.store(1);
  futex_wake(begun.ready);
  for (Inbox inbox;;) {
    while (const auto chunk = inbox.next()) {
      if (chunk->empty()) return 0;  // the sentinel, CPython's None
      Decoder in(*chunk);
      const auto number = in.get<std::uint64_t>();
      const auto task = in.get<std::string>();
      const auto items = in.get<std::uint64_t>();
      if (items > std::max<std::size_t>(1, chunk->size())) throw MessageError("a chunk claims more items than bytes");
      if (!begun.begin(number)) continue;  // an idle worker has got it instead
      answer(number, task, [&] {
        const std::size_t head = reply.bytes.size();
        if (const auto thrown = attempt([&] { run_chunk(task, items, in, reply); })) {
          reply.bytes.resize(head);
          reply.bytes += error_reply(task, TaskError(words_of(thrown)));
        }
      });
    }
    if (inbox.fill(tasks) == Inbox::Got::end) return 0;
  }
}

}  // namespace lab::pool
