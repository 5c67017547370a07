#include "common/harness/parts.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "common/os/children.hpp"
#include "common/os/codec.hpp"
#include "common/os/message.hpp"
#include "common/os/team.hpp"

namespace lab {
namespace {

constexpr int kParts = 4;

// A measurement, as a part of a full run sends it to its parent.
struct Sent {
  Measurement m;
  std::vector<std::int32_t> cpus;  // of each worker: CPU and kind of core before, CPU and kind after
  std::vector<double> spins;       // of each worker: before, after
  auto members() {
    return std::tie(m.variant, m.wrong, m.round, m.iterations, m.seconds, m.cpu_seconds, m.counters, m.busy, m.floating,
                    m.cpu_share, m.kept, cpus, spins);
  }
};

}  // namespace

Part::Part(const std::string& option)
    : fd(std::stoi(option)),
      rounds(std::stoi(option.substr(option.find(',') + 1))),
      label(option.substr(option.rfind(',') + 1)) {}

void send_part(int fd, const Outcome& outcome) {
  std::vector<Sent> sent;
  for (const Measurement& m : outcome.measurements) {
    Sent& s = sent.emplace_back(Sent{m, {}, {}});
    for (const auto& [before, after] : m.paces) {
      s.cpus.insert(s.cpus.end(), {before.cpu, before.kind, after.cpu, after.kind});
      s.spins.insert(s.spins.end(), {before.spin, after.spin});
    }
  }
  send_message(fd, encode(outcome.rounds, sent, outcome.wrong));
}

Outcome measure_in_parts(int rounds, int argc, char** argv) {
  Outcome all;
  for (int part = 0; part < kParts; ++part) {
    auto [reader, writer] = make_pipe();
    const int share = rounds / kParts + (part < rounds % kParts);
    if (share == 0) continue;
    const pid_t pid = fork_child();
    if (pid == 0) {
      leave([&, &out = writer] {
        ::fcntl(out.get(), F_SETFD, 0);
        std::string words = fmt::format("{},{},part {} of {}", out.get(), share, part + 1, kParts), flag = "--part";
        std::vector<char*> args(argv, argv + argc);
        args.insert(args.end(), {flag.data(), words.data(), nullptr});
        ::execv("/proc/self/exe", args.data());
        throw_errno("cannot start a fresh process");
      });
    }
    writer.reset();
    ChildProcess child(pid);  // killed on whatever path this scope is left
    if (!wait_for(reader.get(), POLLIN, Clock::now() + std::chrono::hours(2)))
      throw WorkerError("a part of the full run takes over 2 hours");
    const std::optional<std::string> message = receive_message(reader.get());
    const int code = *child.wait();
    if (!message || code != 0) {
      throw WorkerError(fmt::format("part {} of the full run ended with {}", part + 1, describe_exit(code)));
    }
    Decoder decoder(*message);
    const int measured = decoder.get<int>();
    for (Sent& s : decoder.get<std::vector<Sent>>()) {
      for (std::size_t i = 0; i < s.spins.size() && 2 * i + 3 < s.cpus.size(); i += 2) {
        const std::int32_t* at = &s.cpus[2 * i];
        s.m.paces.push_back({{at[0], at[1], s.spins[i]}, {at[2], at[3], s.spins[i + 1]}});
      }
      s.m.round += all.rounds;
      all.measurements.push_back(std::move(s.m));
    }
    for (std::string& sentence : decoder.get<std::vector<std::string>>()) all.wrong.push_back(std::move(sentence));
    decoder.finish();
    all.rounds += measured;
  }
  return all;
}

}  // namespace lab
