#include "starter.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <system_error>
#include <thread>

#include "common/os/mapping.hpp"

namespace lab::pool {
namespace {

// A parent that is gone reads no replies: nothing to complain about.
int serve_until_end(const WorkerPlan& plan, int tasks, int replies, Begun& begun) {
  try {
    return serve(plan, tasks, replies, begun);
  } catch (const std::system_error& error) {
    if (error.code().value() == EPIPE) return 0;
    throw;
  }
}

// The entry of a worker process. Descriptors: chunks, replies, the shared memory.
int pool_worker(std::string_view argument, std::span<Descriptor> descriptors) {
  std::signal(SIGPIPE, SIG_IGN);
  // A task that calls exit() must not run the exit handlers inherited from the parent, nor flush its buffers a second
  // time.
  ::on_exit([](int status, void*) { std::fflush(nullptr), ::_exit(status); }, nullptr);
  Decoder in(argument);
  const auto plan = in.get<WorkerPlan>();
  const auto at = in.get<std::uint64_t>();
  in.finish();
  const Mapping memory = Mapping::of(descriptors[2]);
  if (at >= memory.size() / sizeof(Begun)) throw MessageError("a worker's place lies outside the shared memory");
  return serve_until_end(plan, descriptors[0].get(), descriptors[1].get(), reinterpret_cast<Begun*>(memory.data())[at]);
}
const bool known = start::register_entry("pool worker", pool_worker);

class Processes : public Starter {
 public:
  Processes(std::size_t workers, const start::Nursery* nursery)
      : own_(nursery ? nullptr : std::make_unique<start::Nursery>()),
        nursery_(nursery ? *nursery : *own_),
        file_(make_memfd("pool", workers * sizeof(Begun))),
        memory_(Mapping::of(file_)) {}

  Hand start(const WorkerPlan& plan, Descriptor tasks, Descriptor replies, std::size_t at) override {
    new (&begun(at)) Begun;
    // A daemon, as CPython's are: it may have no children of its own.
    const start::Order order{.entry = "pool worker",
                             .argument = encode(plan, std::uint64_t{at}),
                             .name = plan.name,
                             .daemon = true,
                             .parent = ::getpid(),
                             .parent_name = start::self().name};
    return nursery_.start(order, std::array{tasks.get(), replies.get(), file_.get()});
  }
  std::optional<int> exit_code(const Hand& hand, Deadline deadline) override { return hand.exit_code(deadline); }
  bool nursery_lost(const Hand& hand) override {  // its end of the sentinel was closed, and no status sent before
    char byte = 0;
    return ::recv(hand.sentinel.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  }
  bool signal(const Hand& hand, int number) override { return ::kill(hand.pid, number) == 0; }
  Begun& begun(std::size_t at) override { return reinterpret_cast<Begun*>(memory_.data())[at]; }

 private:
  std::unique_ptr<start::Nursery> own_;
  const start::Nursery& nursery_;
  Descriptor file_;
  Mapping memory_;
};

class Threads : public Starter {
 public:
  explicit Threads(std::size_t workers) : begun_(workers), threads_(workers) {}

  Hand start(const WorkerPlan& plan, Descriptor tasks, Descriptor replies, std::size_t at) override {
    begun_[at].emplace();
    auto [sentinel, end] = make_pipe();
    std::promise<pid_t> id;
    std::future<pid_t> told = id.get_future();
    threads_[at] = std::jthread([plan, &begun = *begun_[at], in = std::move(tasks), out = std::move(replies),
                                 done = std::move(end), id = std::move(id)]() mutable {
      id.set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
      int status = 1;
      try {
        status = serve_until_end(plan, in.get(), out.get(), begun);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", plan.name.c_str(), error.what());
      }
      in.reset(), out.reset();
      [[maybe_unused]] const auto n = ::write(done.get(), &status, sizeof status);  // nobody listens at the pool's end
    });
    return {told.get(), std::move(sentinel)};
  }
  std::optional<int> exit_code(const Hand& hand, Deadline deadline) override {
    int status = 1;
    if (!wait_for(hand.sentinel.get(), POLLIN, deadline)) return std::nullopt;
    read_full(hand.sentinel.get(), std::as_writable_bytes(std::span(&status, 1)));
    return status;
  }
  bool nursery_lost(const Hand&) override { return false; }
  bool signal(const Hand&, int) override { return false; }
  Begun& begun(std::size_t at) override { return *begun_[at]; }

 private:
  std::vector<std::optional<Begun>> begun_;
  // By place: whoever follows joins the one before, which has ended. The last are joined by their destructors, after
  // their task: a thread cannot be killed.
  std::vector<std::jthread> threads_;
};

}  // namespace

std::unique_ptr<Starter> make_starter(Vehicle vehicle, std::size_t workers, const start::Nursery* nursery) {
  if (vehicle == Vehicle::threads) return std::make_unique<Threads>(workers);
  return std::make_unique<Processes>(workers, nursery);
}

}  // namespace lab::pool
