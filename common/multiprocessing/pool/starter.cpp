#include "starter.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "common/machine/placement.hpp"
#include "task.hpp"

namespace lab::pool {
namespace {

// What every worker process does before its own entry, which the argument names.
int settle_in(std::string_view argument, std::span<Descriptor> descriptors) {
  // A task that calls exit() must not run the exit handlers inherited from the parent, nor flush its buffers a second
  // time.
  ::on_exit([](int status, void*) { std::fflush(nullptr), ::_exit(status); }, nullptr);
  const auto [entry, rest] = decode<std::tuple<std::string, std::string>>(argument);
  return start::find_entry(entry)(rest, descriptors);
}
const bool known = start::register_entry("pool process", settle_in);

}  // namespace

int allowed_cpus() {
  if (const char* asked = std::getenv("PYTHON_CPU_COUNT"); asked != nullptr && std::atoi(asked) > 0)
    return std::atoi(asked);
  return static_cast<int>(bound_to().size());
}

Starter::Starter(const Options& options) : vehicle_(options.vehicle), nursery_(options.nursery) {
  if (options.processes && *options.processes < 1) throw std::invalid_argument("a pool needs at least 1 worker");
  if (options.tasks_per_child && *options.tasks_per_child < 1)
    throw std::invalid_argument("tasks_per_child must be at least 1, or absent");
  if (!options.initializer.empty()) thunk_named(options.initializer);  // throws when nobody knows it
  if (vehicle_ == Vehicle::processes && start::self().daemon)
    throw std::logic_error("daemonic processes are not allowed to have children");
  ignore_vanished_readers();
  if (vehicle_ == Vehicle::processes && nursery_ == nullptr) {
    own_ = std::make_unique<start::Nursery>();
    nursery_ = own_.get();
  }
}

std::string Starter::next_name() {
  return (vehicle_ == Vehicle::processes ? "ForkPoolWorker-" : "Thread-") + std::to_string(++names_);
}

std::unique_ptr<start::Child> Starter::start(const std::string& entry, const std::string& name, std::string argument,
                                             const std::vector<int>& descriptors) const {
  const bool process = vehicle_ == Vehicle::processes;
  start::Order order{.entry = process ? "pool process" : entry,
                     .argument = process ? encode(std::tuple(entry, std::move(argument))) : std::move(argument),
                     .name = name,
                     .daemon = true,  // as CPython's are: it may have no children of its own
                     .parent = ::getpid(),
                     .parent_name = start::self().name};
  if (!process) return start_child(start::Method::thread, order, descriptors);
  return nursery_->start(order, descriptors);
}

// Its end of the sentinel was closed, and no status sent before.
bool Starter::nursery_lost(start::Child& child) const {
  char byte = 0;
  return vehicle_ == Vehicle::processes && ::recv(child.sentinel(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

}  // namespace lab::pool
