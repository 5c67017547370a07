#include "common/course/course.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace lab::course {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// A temporary folder with labs, executables (shell scripts) and records, removed at the end.
class Course : public ::testing::Test {
 protected:
  Course() {
    char name[] = "/tmp/course_test.XXXXXX";
    root_ = mkdtemp(name);
    house_ = {root_ / "labs", root_ / "bin", root_ / "results" / "some-cpu-2c-abc"};
  }
  ~Course() override { fs::remove_all(root_); }

  void write(const fs::path& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  std::string read(const fs::path& file) {
    std::ostringstream text;
    text << std::ifstream(root_ / file).rdbuf();
    return text.str();
  }
  void add_lab(const std::string& name, const std::string& title, const std::string& script = "") {
    write("labs/" + name + "/README.md", fmt::format("# Lab {} · {}\n", name.substr(0, 2), title));
    if (script.empty()) return;
    write("bin/" + name, "#!/bin/sh\n" + script + "\n");
    fs::permissions(root_ / "bin" / name, fs::perms::owner_all);
  }
  static Record record(const std::string& name) {
    Record made;
    made.name = name;
    made.size = "normal";
    made.date = "2025-11-21T20:37:00Z";
    made.environment = {{"cpu", "Some CPU"}, {"load", "0.1"}, {"governor", std::nullopt}};
    made.claims = {
        {"a.fast", "ratio", "One is | fast", "Some Book", "x", 0.9, 1.1, 1.004, 1.001, 1.008, 15, 15, "held", "so be it"},
        {"a.slow", "ratio", "One is slow", "Some Book", " MiB", {}, 1.05, 1.2, 1.19, 1.21, 14, 15, "not held", ""},
        {"a.smt", "fact", "Threads share", "", "", {}, {}, {}, {}, {}, 0, 0, "needs", "hardware threads"}};
    made.floors = {{"Pipe", "read and write", 1.15, 1.1, 1.2}};
    made.benchmark_json = R"({"context":{},"benchmarks":[]})";
    return made;
  }
  void save(const Record& made) { write_whole(house_.records / (made.name + ".json"), to_json(made)); }

  fs::path root_;
  House house_;
};

TEST_F(Course, LabsComeInOrderWithTitleAndRecord) {
  add_lab("02_gil", "The interpreter lock");
  add_lab("01_cores", "How many workers?");
  write("labs/notes/README.md", "# not a lab\n");
  save(record("01_cores"));
  const auto labs = find_labs(house_);
  ASSERT_EQ(labs.size(), 2u);
  EXPECT_EQ(labs[0].name, "01_cores");
  ASSERT_TRUE(labs[0].record);
  EXPECT_EQ(count_verdicts(*labs[0].record), (Verdicts{1, 1, 0, 1}));
  EXPECT_EQ(describe(count_verdicts(*labs[0].record)), "1 held, 1 not held, 1 needs");
  EXPECT_EQ(labs[1].title, "The interpreter lock");
  EXPECT_FALSE(labs[1].record);
  EXPECT_THROW(find_labs({root_ / "nowhere", "", ""}), std::invalid_argument);
}

TEST_F(Course, MenuShowsPartsVerdictsAndWhatIsNext) {
  add_lab("01_cores", "How many workers should a pool have, and what happens to the answer when nobody has asked?");
  add_lab("02_gil", "Der Zähler · ……");
  add_lab("04_start_methods", "Starting");
  save(record("01_cores"));
  write("results/some-cpu-2c-abc/04_start_methods.json", "{\"half a rec");
  const auto text = menu(find_labs(house_));
  EXPECT_NE(text.find("I. Why processes\n"), std::string::npos);
  EXPECT_NE(text.find("II. Starting workers"), std::string::npos);
  EXPECT_EQ(text.find("III."), std::string::npos) << "a part without labs is not shown";
  EXPECT_NE(text.find("normal 2025-11-21"), std::string::npos);
  EXPECT_NE(text.find("> 02_gil"), std::string::npos);
  EXPECT_NE(text.find("next: make lab-02"), std::string::npos);
  EXPECT_NE(text.find("its record is damaged"), std::string::npos);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto characters = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
    EXPECT_LE(characters, 100) << line;
  }
}

TEST_F(Course, ScoreboardHoldsEveryClaimAndFloor) {
  add_lab("01_cores", "Cores");
  add_lab("02_gil", "Lock");
  add_lab("03_bound", "Bound");
  auto older = record("02_gil");
  older.date = "2025-11-20T00:00:00Z";
  older.environment[0].second = "Another CPU";
  save(record("01_cores"));
  save(older);
  ASSERT_EQ(write_scoreboard(house_), 0);
  const auto text = read("results/some-cpu-2c-abc/scoreboard.md");
  EXPECT_NE(text.find("Claims: 2 held, 2 not held, 2 needs. Labs with a record: 2 of 3."), std::string::npos) << text;
  EXPECT_NE(text.find("Without a record: 03_bound."), std::string::npos);
  EXPECT_NE(text.find("| held | One is \\| fast (`a.fast`) | 1.004x [1.001, 1.008] | 0.9 to 1.1 | 15 of 15 | so be it "
                      "| Some Book |"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("| 1.2 MiB [1.19, 1.21] | at most 1.05 | 14 of 15 |"), std::string::npos) << "units travel";
  EXPECT_NE(text.find("| Pipe | read and write | 1.15x [1.1, 1.2] |"), std::string::npos);
  EXPECT_NE(text.find("| cpu | Some CPU |"), std::string::npos);
  EXPECT_NE(text.find("2025-11-20T00:00:00Z; cpu: Another CPU\n"), std::string::npos)
      << "what differs is said at its lab";
  EXPECT_NE(text.find("No record: `make lab-03`"), std::string::npos);
}

TEST_F(Course, ClaimsAreWhatTheLabsPrintOnAStandInMachine) {
  add_lab("01_cores", "Cores", "echo \"$HWLOC_SYNTHETIC $*\"");
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(print_claims(house_), 0);
  const auto page = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(page.find("\n## Lab 01 · Cores\n\n```\npackage:1 core:4 pu:2 --claims\n```\n"), std::string::npos) << page;
  add_lab("02_gil", "Lock");
  EXPECT_EQ(print_claims(house_), 77) << "no page without the claims of a lab";
  add_lab("02_gil", "Lock", "exit 1");
  EXPECT_THROW(print_claims(house_), std::runtime_error);
}

TEST_F(Course, DamagedRecordKeepsTheOldScoreboard) {
  add_lab("01_cores", "Cores");
  add_lab("02_gil", "Lock");
  save(record("02_gil"));
  write("results/some-cpu-2c-abc/01_cores.json", "[]");
  write("results/some-cpu-2c-abc/scoreboard.md", "old");
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(write_scoreboard(house_), 1);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("01_cores.json"), std::string::npos);
  EXPECT_EQ(read("results/some-cpu-2c-abc/scoreboard.md"), "old");
}

TEST_F(Course, RunGoesOnAfterACrashAndASkip) {
  add_lab("01_fine", "Fine",
          "echo \"$@\" > " + (root_ / "arguments").string() + "; cat > " + (root_ / "input").string());
  add_lab("02_wrong", "Wrong", "exit 1");
  add_lab("03_missing", "Missing", "exit 77");
  add_lab("04_crash", "Crash", "kill -SEGV $$");
  add_lab("05_hang", "Hang", "sleep 60; sleep 60");
  add_lab("06_unbuilt", "Unbuilt");
  add_lab("07_last", "Last", "echo ran");
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(run(house_, {"--quick"}, {.lab = milliseconds(500)}), 1);
  const auto out = ::testing::internal::GetCapturedStdout(), talk = ::testing::internal::GetCapturedStderr();
  for (const char* expected :
       {"[1/7] 01_fine: done", "Failed: 02_wrong ended with status 1", "Skipped: 03_missing, 06_unbuilt",
        "Failed: 04_crash was killed by signal 11", "Failed: 05_hang hung", "[7/7] 07_last: done", "5 of 7 labs ran"}) {
    EXPECT_NE(talk.find(expected), std::string::npos) << expected << " in\n" << talk;
  }
  EXPECT_NE(out.find("ran\n"), std::string::npos);
  EXPECT_EQ(read("arguments"),
            fmt::format("--no-predict --out {} --quick\n", (house_.records / "01_fine.json").string()));
  EXPECT_EQ(read("input"), "");
}

TEST_F(Course, RunOfSoundLabsEndsWithStatusZero) {
  add_lab("01_fine", "Fine", "exit 0");
  add_lab("02_missing", "Missing", "exit 77");
  EXPECT_EQ(run(house_, {}), 0);
}

TEST_F(Course, CtrlCStopsTheLabAndTheRun) {
  add_lab("01_interrupted", "Interrupted",
          "trap 'echo stopped > " + (root_ / "stopped").string() +
              "; exit 130' INT; kill -INT $PPID; while :; do sleep 0.05; done");
  add_lab("02_never", "Never", "touch " + (root_ / "never").string());
  EXPECT_EQ(run(house_, {}), 130);
  EXPECT_EQ(read("stopped"), "stopped\n");
  EXPECT_FALSE(fs::exists(root_ / "never"));
}

TEST_F(Course, ALabThatIgnoresCtrlCIsKilled) {
  add_lab("01_deaf", "Deaf", "trap '' INT; kill -INT $PPID; while :; do sleep 0.05; done");
  EXPECT_EQ(run(house_, {}, {.stop = milliseconds(300)}), 130);
}

TEST_F(Course, KillingTheCourseKillsTheLab) {
  add_lab("01_alone", "Alone",
          "echo $$ > " + (root_ / "pid.new").string() + "; mv " + (root_ / "pid.new").string() + " " +
              (root_ / "pid").string() + "; exec sleep 60");
  const pid_t course = fork();
  ASSERT_GE(course, 0);
  if (course == 0) _exit(run(house_, {}));
  for (int i = 0; i < 200 && !fs::exists(root_ / "pid"); ++i) std::this_thread::sleep_for(milliseconds(50));
  const auto lab = read("pid").substr(0, read("pid").find('\n'));
  ASSERT_FALSE(lab.empty());
  kill(course, SIGKILL);
  waitpid(course, nullptr, 0);
  std::string state = "running";
  for (int i = 0; i < 20 && !state.empty() && state != "Z"; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    std::ifstream stat("/proc/" + lab + "/stat");
    state.clear();
    stat >> state >> state >> state;
  }
  EXPECT_TRUE(state.empty() || state == "Z") << "the lab outlived the course by a second";
}

TEST_F(Course, KnowsHowALabEndedThoughSigchldIsIgnored) {
  add_lab("01_wrong", "Wrong", "exit 1");
  const auto before = std::signal(SIGCHLD, SIG_IGN);  // as a careless program that starts us leaves it
  EXPECT_EQ(run(house_, {}), 1);
  EXPECT_EQ(std::signal(SIGCHLD, before), SIG_IGN) << "and is left as it was";
}

/// A house that breaks no rule, for tests that then break one.
class Rules : public Course {
 protected:
  Rules() {
    write("README.md", "# Top\nSee [the lab](labs/01_a/README.md#a), [this](#top), [out](https://example.org).\n");
    write("labs/01_a/README.md", "# Lab 01 · A, b\n```\n[no](link)\n```\n`[no](link)`\n");
    write("labs/01_a/AFTER.md", "# After\n");
    write("labs/01_a/main.cpp", "#include \"common/harness/lab.hpp\"\n{.id = 1, .floors = 2}\n");
    write("labs/01_a/a.hpp", std::string(300, '\n'));
    write("labs/01_a/a_test.cpp", std::string(999, '\n'));
    write("plots/01_a.py", "");
    write("common/os/pipe.hpp", "#pragma once\n");
    write("common/multiprocessing/pool.cpp", "#include \"common/machine/cores.hpp\"\n#include \"common/os/pipe.hpp\"\n");
    for (int i = 3; i <= most; ++i) write(fmt::format("labs/01_a/{}.cpp", i), "");
    write("labs/01_a/exercise/stub.cpp", "");
  }
  static constexpr int most = 10;  // code files of a lab
  std::string broken() { return fmt::format("{}", fmt::join(inspect(root_), "\n")); }
};

TEST_F(Rules, BreaksNoRule) {
  EXPECT_EQ(broken(), "");
  EXPECT_EQ(check(root_), 0);
  EXPECT_THROW(check(root_ / "labs"), std::invalid_argument);
}

TEST_F(Rules, MissesALabsParts) {
  for (const char* file : {"labs/01_a/README.md", "labs/01_a/AFTER.md", "labs/01_a/main.cpp", "plots/01_a.py"}) {
    const auto text = read(file);
    fs::remove(root_ / file);
    EXPECT_NE(broken().find(fmt::format("{} is missing: every lab has one.", file)), std::string::npos) << broken();
    write(file, text);
  }
  fs::remove(root_ / "labs/01_a/a_test.cpp");
  EXPECT_EQ(broken(), "labs/01_a/ has no test: add <idea>_test.cpp.");
}

TEST_F(Rules, MissesClaimAndFloor) {
  write("labs/01_a/main.cpp", "");
  EXPECT_EQ(broken(), "labs/01_a/main.cpp states no claim (.id =).\nlabs/01_a/main.cpp names no floor (.floors).");
}

TEST_F(Rules, IsTooMuchToRead) {
  write("labs/01_a/more.cpp", "");
  EXPECT_EQ(broken(), fmt::format("labs/01_a/ shows {} code files, and {} are the limit: what a student need not read belongs to common/.",
                                  most + 1, most));
  fs::remove(root_ / "labs/01_a/more.cpp");
  for (const auto& [file, limit] : {std::pair{"labs/01_a/main.cpp", 200}, {"labs/01_a/a.hpp", 300}, {"common/os/pipe.hpp", 150},
                                    {"labs/06_pool_map/pool.hpp", 400}}) {
    const auto sentence = fmt::format("{} has {} lines, and {} are the limit here.", file, limit + 1, limit);
    write(file, std::string(limit, '\n'));
    EXPECT_EQ(broken().find(sentence), std::string::npos);
    write(file, std::string(limit + 1, '\n'));
    EXPECT_NE(broken().find(sentence), std::string::npos) << broken();
  }
}

TEST_F(Rules, PointsUp) {
  write("labs/02_b/README.md", "");
  const auto before = broken();
  for (const auto& [file, include] : {std::pair{"common/os/x.cpp", "common/machine/cores.hpp"},
                                      {"common/kernels/x.cpp", "common/os/pipe.hpp"},
                                      {"common/machine/x.cpp", "common/harness/lab.hpp"},
                                      {"common/multiprocessing/x.cpp", "common/harness/lab.hpp"},
                                      {"common/harness/x.cpp", "common/course/labs.hpp"},
                                      {"common/harness/x.cpp", "common/multiprocessing/pool.hpp"},
                                      {"common/harness/x.cpp", "labs/01_a/a.hpp"},
                                      {"common/new/x.cpp", "common/os/pipe.hpp"},
                                      {"labs/01_a/a.hpp", "labs/02_b/b.hpp"},
                                      {"labs/01_a/a.hpp", "../02_b/b.hpp"},
                                      {"labs/01_a/a.hpp", "common/course/labs.hpp"}}) {
    write(file, fmt::format("#include \"{}\"\n", include));
    EXPECT_NE(broken().find(fmt::format("{} includes {}", file, include)), std::string::npos) << file;
    write(file, "");
    EXPECT_EQ(broken(), before);
  }
  write("labs/02_b/b.hpp", "#include \"labs/01_a/a.hpp\"\n#include \"common/multiprocessing/pool.hpp\"\n");
  EXPECT_EQ(broken(), before) << "down is fine";
}

TEST_F(Rules, LinksNowhere) {
  write("docs/a.md", "[one](../labs/09_x/README.md) ![two](b.png \"title\")\n[three]: c.md\n[[four](d.md#x)](../README.md)\n");
  EXPECT_EQ(broken(),
            "docs/a.md links to ../labs/09_x/README.md, which is not there.\n"
            "docs/a.md links to b.png, which is not there.\n"
            "docs/a.md links to c.md, which is not there.\n"
            "docs/a.md links to d.md, which is not there.");
}

}  // namespace
}  // namespace lab::course
