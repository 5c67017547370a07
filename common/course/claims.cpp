#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>

#include "common/course/course.hpp"
#include "common/os/say.hpp"

namespace lab::course {
namespace {

constexpr const char* head = R"(# Claims

What the labs believe, with the band in which it must be found, stated before anything is measured. `make claims` writes this page: it is what each lab prints
with `--claims` on a stand-in for the machine of the books' authors, 4 cores with 8 hardware threads. `build/bin/01_cores --claims` prints the bands of yours. How
a claim is answered is in [reading-a-result.md](reading-a-result.md).
)";

std::string claims_of(const std::string& program) {
  std::string quoted;
  for (const char c : program) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  const auto command = fmt::format("HWLOC_SYNTHETIC='package:1 core:4 pu:2' HWLOC_THISSYSTEM=0 '{}' --claims </dev/null", quoted);
  FILE* output = popen(command.c_str(), "re");
  if (!output) throw std::runtime_error("cannot start a shell");
  std::string text;
  for (int c; (c = std::fgetc(output)) != EOF;) text += static_cast<char>(c);
  if (pclose(output) != 0) throw std::runtime_error(program + " --claims failed");
  return text;
}

}  // namespace

int print_claims(const House& house) {
  std::string text = head;
  for (const auto& lab : find_labs(house)) {
    if (access(lab.executable.c_str(), X_OK) != 0) {
      say("{} was not built: the page would lack its claims.\n", lab.executable.string());
      return 77;
    }
    text += fmt::format("\n## Lab {:02} · {}\n\n```\n{}```\n", lab.number, lab.title, claims_of(lab.executable.string()));
  }
  fmt::print("{}", text);
  return 0;
}

}  // namespace lab::course
