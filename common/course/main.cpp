// course: what stands around the labs. See --help.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <stdexcept>

#include "common/course/course.hpp"
#include "common/machine/cores.hpp"
#include "common/os/say.hpp"

namespace {

using namespace lab::course;

int show_menu(const House& house) {
  const auto labs = find_labs(house);
  fmt::print("{}", menu(labs));
  return report_damage(labs) ? 1 : 0;
}

/// Throws CLI::ParseError and std::invalid_argument, each with a sentence.
int dispatch(CLI::App& app, int argc, char** argv) {
  std::filesystem::path results = "results";
  House house;
  std::vector<std::string> given;
  app.require_subcommand(1)->fallthrough();
  app.add_option("--results", results, "records and scoreboards, a folder a machine")->capture_default_str();
  app.add_option("--labs", house.labs, "the labs' folders")->capture_default_str();
  app.add_option("--bin", house.bin, "the labs' executables")->capture_default_str();
  app.add_subcommand("menu", "the labs, what was done, the verdicts, what is next");
  app.add_subcommand("run", "every lab in order, then the scoreboard")
      ->add_option("words", given, "behind --: goes to each lab, such as -- --quick");
  app.add_subcommand("scoreboard", "all claims, verdicts and floors of this machine");
  app.add_subcommand("claims", "the page of all the labs' claims, docs/claims.md");
  app.add_subcommand("doctor", "whether this machine can be measured on; changes nothing");
  app.add_subcommand("check", "the rules of the house: pages, tests, layers, links");
  app.failure_message([](const CLI::App* own, const CLI::Error& error) { return fmt::format("{}.\n\n{}", error.what(), own->help()); });
  app.footer("Exit status: 0 done, 1 a lab failed, a record is damaged or a rule is broken, 2 bad options, 130 Ctrl-C");
  app.parse(argc, argv);

  if (app.got_subcommand("doctor")) return doctor();
  if (app.got_subcommand("claims")) return print_claims(house);
  const auto root = (std::filesystem::absolute(house.labs) / "..").lexically_normal();
  if (app.got_subcommand("check")) return check(root);
  house.records = results / lab::machine_id(lab::this_machine());
  if (app.got_subcommand("menu")) return show_menu(house);
  if (app.got_subcommand("scoreboard")) return write_scoreboard(house);
  const bool full = std::count(given.begin(), given.end(), "--full") > 0;
  return run(house, given, {.lab = full ? std::chrono::hours(3) : std::chrono::minutes(10)});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What stands around the labs.", "course");
  try {
    return dispatch(app, argc, argv);
  } catch (const CLI::ParseError& answer) {  // --help, too
    return app.exit(answer) == 0 ? 0 : 2;
  } catch (const std::invalid_argument& error) {
    lab::say("{}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    lab::say("{}\n", error.what());
    return 1;
  }
}
