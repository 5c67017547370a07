#include "sized_parent.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <map>
#include <memory>
#include <system_error>

#include "common/multiprocessing/process/exit_order.hpp"
#include "common/os/message.hpp"
#include "floors.hpp"

namespace lab::start {
namespace {

int nothing(std::string_view, std::span<Descriptor>) { return 0; }

template <Method method>
void start_and_join() {
  Process process(method, "nothing");
  process.start();
  process.join();  // SizedParent::seconds has the deadline
  if (const auto code = process.exit_code(); code != 0)
    throw std::runtime_error("a worker ended with " + describe_exit(code.value_or(255)));
}

const std::map<std::string, void (*)()> kJobs{{"fork", start_and_join<Method::fork>},
                                              {"spawn", start_and_join<Method::spawn>},
                                              {"forkserver", start_and_join<Method::forkserver>},
                                              {"thread", start_and_join<Method::thread>},
                                              {"fork_exit_wait", fork_exit_wait},
                                              {"vfork_exit_wait", vfork_exit_wait},
                                              {"spawn_return_at_once", spawn_return_at_once},
                                              {"thread_create_join", thread_create_join},
                                              {"fork_and_two_round_trips", fork_and_two_round_trips}};

int hold_and_start(std::string_view argument, std::span<Descriptor> descriptors) {
  const auto [mib, pages] = decode<std::tuple<std::uint64_t, bool>>(argument);
  const TouchedMemory memory(mib << 20, pages ? Pages::huge : Pages::small);
  const int socket = descriptors[0].get();
  while (const auto message = receive_message(socket)) {
    const auto [job, times] = decode<std::tuple<std::string, std::int64_t>>(*message);
    if (job.empty()) break;
    std::string error;
    const auto begin = Clock::now();
    try {
      for (std::int64_t i = 0; i < times; ++i) kJobs.at(job)();
    } catch (const std::exception& failure) {
      error = *failure.what() ? failure.what() : "unnamed error";
    }
    send_message(socket, encode(std::tuple(std::chrono::duration<double>(Clock::now() - begin).count(), error)));
  }
  return 0;
}
[[maybe_unused]] const bool known =
    register_entry("nothing", nothing) && register_entry("hold_and_start", hold_and_start);

std::string size_of(std::size_t mib, Pages pages) {
  return encode(std::tuple(std::uint64_t{mib}, pages == Pages::huge));
}

}  // namespace

SizedParent::SizedParent(std::size_t mib, Pages pages) : SizedParent(mib, pages, make_socket_pair(SOCK_STREAM)) {}

SizedParent::SizedParent(std::size_t mib, Pages pages, std::pair<Descriptor, Descriptor> sockets)
    : socket_(std::move(sockets.first)),
      process_(Method::fork, "hold_and_start", size_of(mib, pages), {sockets.second.get()},
               {.name = "Parent-" + std::to_string(mib)}) {
  process_.start();
  try {
    seconds("thread", 0);  // returns once its memory is touched
  } catch (...) {
    process_.kill();  // nobody else will tell it to end, and the end of this process waits for it
    throw;
  }
}

SizedParent::~SizedParent() {
  try {  // by a message: end-of-file would not come, for like any forked child it has a copy of our end
    send_message(socket_.get(), encode(std::tuple(std::string(), std::int64_t{0})));
  } catch (const std::system_error&) {
  }  // it has ended already
  process_.join(std::chrono::seconds(5));
  process_.kill();
}

double SizedParent::seconds(const std::string& job, std::int64_t times) {
  std::optional<std::string> answer;
  try {
    send_message(socket_.get(), encode(std::tuple(job, times)));
    if (!wait_for(socket_.get(), POLLIN, Clock::now() + std::chrono::seconds(60)))
      throw std::runtime_error(process_.name() + " gave no answer within 60 s");
    answer = receive_message(socket_.get());
  } catch (const std::system_error&) {  // nobody has the other end any more, as with end-of-file
  }
  if (!answer) {
    process_.join(std::chrono::seconds(5));
    const auto code = process_.exit_code();
    throw std::runtime_error(process_.name() + (code ? " has ended with " + describe_exit(*code) : " does not answer"));
  }
  auto [taken, error] = decode<std::tuple<double, std::string>>(*answer);
  if (!error.empty()) throw std::runtime_error(process_.name() + ": " + job + ": " + error);
  return taken;
}

SizedParent& sized_parent(std::size_t mib, Pages pages, const std::string& job) {
  // Never destroyed: statics that are destroyed may be so before the exit order runs.
  static auto& parents = *new std::map<std::tuple<std::size_t, Pages, std::string>, std::unique_ptr<SizedParent>>;
  if (parents.empty()) {
    at_process_exit(0, [] { parents.clear(); });  // before children are joined: these wait for a message
  }
  auto& parent = parents[{mib, pages, mib > 0 ? "" : job}];
  if (!parent) parent = std::make_unique<SizedParent>(mib, pages);
  return *parent;
}

}  // namespace lab::start
