#include "worker.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "common/multiprocessing/process/worker.hpp"
#include "task.hpp"

namespace lab::pool {
namespace {

thread_local std::string name_of_this_worker = "MainProcess";

std::string traceback(const std::string& task) {
  return fmt::format("raised in task {} by {} (pid {})", task, current_worker(), ::getpid());
}

// Runs the tasks of a chunk one after another. The first failure ends it: the rest of the chunk is not run.
void run_chunk(const std::string& name, std::uint64_t items, Decoder& in, bool catches_all, Encoder& reply) {
  const std::size_t start = reply.bytes.size();
  const auto failed = [&](const std::exception& error) {
    reply.bytes.resize(start);
    reply.bytes.push_back(static_cast<char>(Reply::error));
    reply.bytes += encode_error(error, traceback(name));
  };
  try {
    const Thunk& thunk = thunk_named(name);
    if (const auto given = in.get<ArgumentCount>(); given != thunk.arguments)
      throw std::invalid_argument(fmt::format("wrong number of arguments for task {}: it takes {} and was given {}",
                                              name, thunk.arguments, given));
    reply.bytes.push_back(static_cast<char>(Reply::values));
    for (std::uint64_t item = 0; item < items; ++item) thunk.run(in, reply);
    in.finish();
  } catch (const std::exception& error) {
    failed(error);
  } catch (const start::Exit& exit) {
    if (!catches_all) throw;
    failed(
        TaskError(fmt::format("start::Exit: the task asked to end its worker with {}",
                              exit.text.empty() ? fmt::format("status {}", exit.status) : "the words: " + exit.text)));
  } catch (...) {
    if (!catches_all) throw;
    failed(TaskError("the task threw something that is no std::exception"));
  }
}

}  // namespace

const std::string& current_worker() { return name_of_this_worker; }

int serve(const WorkerPlan& plan, int tasks, int replies, Begun& begun) {
  name_of_this_worker = plan.name;
  Encoder reply;
  const auto begin_reply = [&](std::uint64_t number) {
    reply.bytes.clear();
    const std::size_t body = open_frame(reply.bytes);
    reply.put(number);
    return body;
  };
  const auto send = [&](std::size_t body) {
    close_frame(reply.bytes, body);
    write_all(replies, std::as_bytes(std::span(reply.bytes)));
  };
  if (!plan.initializer.empty()) {
    try {
      Decoder in(plan.initargs);
      Encoder ignored;
      thunk_named(plan.initializer).run(in, ignored);
      in.finish();
    } catch (const std::exception& error) {
      const std::size_t body = begin_reply(0);
      reply.bytes += static_cast<char>(Reply::initializer_failed) + std::string(error.what());
      send(body);
      return 1;
    } catch (const start::Exit& exit) {
      return exit.status;
    } catch (...) {
      const std::size_t body = begin_reply(0);
      reply.bytes += static_cast<char>(Reply::initializer_failed);
      reply.bytes += "something that is no std::exception";
      send(body);
      return 1;
    }
  }
  begun.ready.store(1);
  Inbox inbox;
  for (int done = 0;;) {
    while (const auto chunk = inbox.next()) {
      Decoder in(*chunk);
      const auto number = in.get<std::uint64_t>();
      const auto task = in.get<std::string>();
      const auto items = in.get<std::uint64_t>();
      if (items > std::max<std::size_t>(1, chunk->size())) throw MessageError("a chunk claims more items than bytes");
      if (!begun.begin(number)) continue;  // an idle worker has got it instead
      const std::size_t body = begin_reply(number);
      try {
        run_chunk(task, items, in, plan.catches_all, reply);
      } catch (const start::Exit& exit) {
        std::fprintf(stderr, "%s", exit.text.empty() ? "" : (exit.text + "\n").c_str());
        return exit.status;
      } catch (...) {
        std::fprintf(stderr, "%s ends: its task threw something that is no std::exception\n", plan.name.c_str());
        return 1;
      }
      try {
        send(body);
      } catch (const MessageError& error) {
        begin_reply(number);
        reply.bytes +=
            static_cast<char>(Reply::error) + encode_error(MaybeEncodingError(error.what()), traceback(task));
        send(body);
      }
      if (++done == plan.tasks) return 0;
    }
    if (inbox.fill(tasks) == Inbox::Got::end) return 0;
  }
}

}  // namespace lab::pool
