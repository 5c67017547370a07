// Drives a small lab (test_lab.cpp) as a user does, by its command line; and as fate does, by signals.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <utility>

#include "common/harness/record.hpp"
#include "common/harness/testing.hpp"
#include "common/os/descriptor.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;
using lab::testing::Folder;
using lab::testing::read_text;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// The living children of a process.
std::vector<pid_t> children_of(pid_t pid) {
  std::istringstream list(read_text("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children"));
  std::vector<pid_t> pids;
  for (pid_t child; list >> child;) pids.push_back(child);
  return pids;
}

std::vector<pid_t> wait_for_children(pid_t pid, std::size_t count) {
  const auto deadline = Clock::now() + std::chrono::seconds(30);
  while (children_of(pid).size() < count && Clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return children_of(pid);
}

class RunLab : public testing::Test {
 protected:
  // What the lab orphans becomes our child and is found.
  void SetUp() override { ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0); }
  void TearDown() override {
    if (pid_ > 0) ::kill(-pid_, SIGKILL);  // an assertion ended the test early
    while (::waitpid(-1, nullptr, 0) > 0) continue;
  }

  // Starts the lab in `room_`, in a process group of its own; what it says goes to files elsewhere.
  void start(const Words& words, const std::string& input = "") {
    const auto [reader, writer] = lab::make_pipe();
    ASSERT_EQ(::write(writer.get(), input.data(), input.size()), static_cast<ssize_t>(input.size()));
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setpgid(0, 0);
      std::vector<char*> argv{const_cast<char*>(TEST_LAB)};
      for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      ::dup2(reader.get(), STDIN_FILENO);
      for (const auto& [name, fd] : {std::pair("out", STDOUT_FILENO), std::pair("err", STDERR_FILENO)}) {
        const auto file = full_ == name ? "/dev/full" : said_.path / name;
        ::dup2(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), fd);
      }
      if (::chdir(room_.path.c_str()) == 0) ::execv(TEST_LAB, argv.data());
      ::_exit(99);
    }
    ::setpgid(pid_, pid_);  // both sides do it: whoever is first
  }

  // The exit status as a shell says it: 128 + signal for death by signal; -1 after a minute. Then nobody may be left.
  int finish() {
    const lab::Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!lab::wait_for(handle.get(), POLLIN, Clock::now() + std::chrono::minutes(1))) {
      ADD_FAILURE() << "the lab does not end";
      ::kill(-pid_, SIGKILL);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    const pid_t group = std::exchange(pid_, -1);
    const auto deadline = Clock::now() + std::chrono::seconds(1);
    pid_t orphan = 0;
    while ((orphan = ::waitpid(-1, nullptr, WNOHANG)) >= 0 && Clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(orphan, -1) << "a process outlived the lab";
    if (orphan != -1) ::kill(-group, SIGKILL);
    out_ = read_text(said_.path / "out");
    err_ = read_text(said_.path / "err");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  int run(const Words& words, const std::string& input = "") {
    start(words, input);
    return finish();
  }

  // Every file in the room is a whole record or timeline.
  void expect_whole_files() {
    for (const std::string& name : room_.names()) {
      if (std::filesystem::is_directory(room_.path / name)) continue;
      const std::string text = read_text(room_.path / name);
      EXPECT_TRUE(nlohmann::json::accept(text) && text.ends_with("}\n")) << name;
    }
  }

  lab::Record record() const { return lab::read_record(room_.path / "test_lab.json"); }

  Folder room_, said_;
  std::string out_, err_;
  std::string full_;  // "out" or "err": what has no room for what the lab says
  pid_t pid_ = -1;
};

const Words kQuick{"--quick", "--out", "."};
Words quick(const Words& more) {
  Words words = kQuick;
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST_F(RunLab, CannotTalkAndWorksNevertheless) {
  full_ = "err";
  EXPECT_EQ(run(kQuick), 0);
  expect_whole_files();
  EXPECT_EQ(run({"--nonsense"}), 2);
}

TEST_F(RunLab, SaysThatItsResultIsLost) {
  full_ = "out";
  EXPECT_EQ(run(kQuick), 2);
  EXPECT_TRUE(contains(err_, "stdout")) << err_;
  expect_whole_files();
  for (const char* answer : {"--help", "--version", "--claims"}) {
    EXPECT_EQ(run({answer}), 2) << answer;
    EXPECT_TRUE(contains(err_, "stdout")) << err_;
  }
}

TEST_F(RunLab, RefusesBadOptionsWithASentence) {
  const struct {
    Words words;
    const char* named;
  } bad[] = {{{"--workers", "0"}, "--workers '0'"},
             {{"--workers", "-1"}, "--workers"},
             {{"--workers", "abc"}, "'abc'"},
             {{"--workers", "1,,2"}, "'1,,2'"},
             {{"--workers", "1,2,"}, "'1,2,'"},
             {{"--workers", "100000"}, "100000"},
             {{"--workers", ""}, "--workers"},
             {{"--workers"}, "--workers"},
             {{"--rounds", "0"}, "--rounds"},
             {{"--rounds", "-3"}, "--rounds"},
             {{"--rounds", "x"}, "--rounds"},
             {{"--rounds"}, "--rounds"},
             {{"--seed", "x"}, "--seed"},
             {{"--seed", "-3"}, "--seed: Value -3"},
             {{"--out", "/proc/x"}, "/proc/x"},
             {{"--out", "/sys/x"}, "/sys/x"},
             {{"--out", "/sys"}, "/sys"},
             {{"--out", "/proc/x.json"}, "/proc"},
             {{"--out", "/dev/null"}, "/dev/null"},
             {{"--out"}, "--out"},
             {{"--no-such"}, "--no-such"},
             {{"positional"}, "positional"},
             {{"--no-such", "5", "8"}, "--no-such 5 8"},
             {{"--mishap", "fire"}, "fire"},
             {{"--quick", "--full"}, "--full"},
             {{"--benchmark_filter=nothing_like_it"}, "nothing_like_it"},
             {{"--benchmark_filter=(plain"}, "(plain"},
             {{"--benchmark_repetitions=3"}, "--benchmark_repetitions=3"},
             {{"--benchmark_min_time=1"}, "--benchmark_min_time=1"},
             {{"--benchmark_enable_random_interleaving=true"}, "--benchmark_enable_random_interleaving=true"},
             {{"--benchmark_no_such=1"}, "--benchmark_no_such=1"},
             {{"--benchmark_format=xml"}, "--benchmark_format=xml"},
             {{"--benchmark_out_format=xml"}, "--benchmark_out_format=xml"},
             {{"--benchmark_out=/proc/x"}, "/proc/x"}};
  for (const auto& [words, named] : bad) {
    EXPECT_EQ(run(words), 2) << named << "\n" << err_;
    EXPECT_TRUE(contains(err_, named)) << named << "\n" << err_;
    EXPECT_EQ(lines(err_), 2u) << err_;  // the sentence, and where the options are listed
    EXPECT_EQ(out_, "");
    EXPECT_TRUE(room_.names().empty()) << named;
  }
}

// Set while it lives, for the lab as well.
struct Variable {
  Variable(const char* of, const char* value) : name(of) { ::setenv(of, value, 1); }
  ~Variable() { ::unsetenv(name); }
  const char* name;
};

TEST_F(RunLab, TreatsTheLibrarysVariablesAsItsFlags) {
  for (const auto& [name, value] :
       {std::pair("BENCHMARK_REPETITIONS", "3"), std::pair("BENCHMARK_MIN_WARMUP_TIME", "2"),
        std::pair("BENCHMARK_FORMAT", "xml"), std::pair("BENCHMARK_OUT", "/proc/x")}) {
    const Variable variable(name, value);
    EXPECT_EQ(run(kQuick), 2) << name << err_;
    EXPECT_TRUE(contains(err_, value)) << name << err_;
    EXPECT_EQ(lines(err_), 2u) << err_;
  }
  const Variable out("BENCHMARK_OUT", "copy.json"), filter("BENCHMARK_FILTER", "plain"),
      other("BENCHMARK_UNKNOWN", "3");
  ASSERT_EQ(run(quick({"--benchmark_filter=tenth"})), 0) << err_;
  std::string copy = read_text(room_.path / "copy.json");
  std::erase(copy, ' ');
  EXPECT_TRUE(contains(copy, R"("schema")") && contains(copy, R"("run_name":"tenth_more")")) << copy;
  EXPECT_FALSE(contains(copy, R"("run_name":"plain")")) << "a flag outdoes a variable";
}

TEST_F(RunLab, TakesTheWorkersAVariantIsToldOf) {
  EXPECT_EQ(run({"--counts", "chosen", "--workers", "3,1", "--benchmark_list_tests"}), 0) << err_;
  EXPECT_EQ(out_, "plain\ntenth_more\npair/workers:1\npair/workers:3\n");
}

TEST_F(RunLab, SaysWhereNoVariantTakesANumberOfWorkers) {
  EXPECT_EQ(run({"--workers", "1,2", "--claims"}), 0);
  EXPECT_TRUE(contains(err_, "--workers changes nothing")) << err_;
}

TEST_F(RunLab, RefusesToReplaceWhatIsNoFile) {
  ASSERT_EQ(::mkfifo((room_.path / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(run(quick({"--benchmark_out=pipe"})), 2) << err_;
  EXPECT_TRUE(std::filesystem::is_fifo(room_.path / "pipe"));
  std::filesystem::create_directory(room_.path / "test_lab.json");
  EXPECT_EQ(run(kQuick), 2) << err_;
  EXPECT_TRUE(contains(err_, "test_lab.json")) << err_;
  EXPECT_EQ(out_, "");
}

TEST_F(RunLab, RefusesAFullOrReadOnlyDiskBeforeItMeasures) {
  const lab::testing::SmallDisk disk(room_.path, 1 << 20);
  if (!disk.mounted) GTEST_SKIP() << "takes root";
  EXPECT_EQ(run({"--quick", "--out", room_.path}), 2);
  EXPECT_TRUE(contains(err_, "No space left on device")) << err_;
  ASSERT_TRUE(disk.make_read_only());
  EXPECT_EQ(run({"--quick", "--out", room_.path}), 2);
  EXPECT_TRUE(contains(err_, "Read-only file system")) << err_;
  EXPECT_TRUE(room_.names().empty());
}

TEST_F(RunLab, AnswersWithoutMeasuring) {
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_TRUE(contains(out_, "--mishap") && contains(out_, "--quick")) << out_;
  EXPECT_EQ(run({"--version"}), 0);
  EXPECT_EQ(lines(out_), 1u);
  EXPECT_EQ(run({"--claims"}), 0);
  EXPECT_TRUE(contains(out_, "test.tenth") && contains(out_, "1.05 to 1.15") && contains(out_, "needs a moon")) << out_;
  EXPECT_EQ(run({"--benchmark_list_tests"}), 0);
  EXPECT_EQ(out_, "plain\ntenth_more\npair\n");
  EXPECT_EQ(run({"--benchmark_list_tests=true", "--benchmark_filter=-pair|plain"}), 0);
  EXPECT_EQ(out_, "tenth_more\n");
  EXPECT_TRUE(room_.names().empty());
}

TEST_F(RunLab, WritesARecordAndSaysItsVerdicts) {
  ASSERT_EQ(run(kQuick), 0) << err_;
  for (const char* part : {"hello", "A tenth more", "can't tell", "held       A fact",
                           "not testable here: needs a moon", "floor", "pair"}) {
    EXPECT_TRUE(contains(out_, part)) << part << "\n" << out_;
  }
  EXPECT_TRUE(contains(err_, "Is a tenth more a tenth slower?") && contains(err_, "test_lab.json")) << err_;
  EXPECT_FALSE(contains(err_, "\r")) << "a moving line, and no terminal";
  const lab::Record r = record();
  EXPECT_EQ(r.name, "test_lab");
  EXPECT_EQ(r.title, "A lab for tests");
  EXPECT_EQ(r.size, "quick");
  EXPECT_TRUE(r.predictions.empty());
  ASSERT_EQ(r.claims.size(), 4u);
  EXPECT_EQ(r.claims[0].rounds, 3);
  EXPECT_EQ(r.claims[0].verdict, "can't tell");
  EXPECT_EQ(r.claims[1].verdict, "held");
  EXPECT_EQ(r.claims[2].verdict, "held");
  EXPECT_EQ(r.claims[3].verdict, "needs");
  EXPECT_EQ(r.floors.size(), 1u);
  EXPECT_EQ(r.tables.at(0).second, "hello");
  for (const char* part : {R"("name":"pair")", R"("run_name":"tenth_more")", R"("repetition_index":2)",
                           R"("repetitions":3)", R"("workers":2.0)", R"("answer":42.0)", R"("time_unit":"ns")",
                           R"("pace_low":)", R"("pace_high":)", R"("cpu_share":)", R"("kept":)"}) {
    EXPECT_TRUE(contains(r.benchmark_json, part)) << part;
  }
  EXPECT_TRUE(contains(read_text(room_.path / "test_lab.trace.json"), "\"holds\""));
  expect_whole_files();
  EXPECT_EQ(room_.names().size(), 2u);
}

TEST_F(RunLab, CountsTheCpuTimeOfServersThatItsWorkersWaitFor) {
  ASSERT_EQ(run(quick({"--mishap", "server"})), 0) << err_;
  const auto json = nlohmann::json::parse(read_text(room_.path / "test_lab.mishap=server.json"));
  int seen = 0;
  for (const auto& one : json["benchmarks"]) {
    if (one["run_name"] != "asks_a_server") continue;
    ++seen;
    EXPECT_GE(one["cpu_time"].get<double>(), 2e6) << one;
    EXPECT_LT(one["cpu_over_wall"].get<double>(), 0.9) << "its worker only waits: " << one;
  }
  EXPECT_EQ(seen, 3);
}

TEST_F(RunLab, PrintsJsonOrCsvAndNothingElse) {
  ASSERT_EQ(run(quick({"--benchmark_format=json", "--no-trace"})), 0);
  EXPECT_TRUE(nlohmann::json::accept(out_)) << out_;
  EXPECT_EQ(out_, read_text(room_.path / "test_lab.json"));
  EXPECT_EQ(room_.names().size(), 1u);

  ASSERT_EQ(run({"--quick", "--benchmark_format=csv", "--benchmark_out=copy.json", "--benchmark_filter=plain|tenth",
                 "--out", "few.json"}),
            0);
  EXPECT_EQ(lines(out_), 1u + 2 * 3);
  std::istringstream rows(out_);
  std::size_t columns = 0;
  for (std::string row; std::getline(rows, row);) {
    bool quoted = false;
    std::size_t commas = 0;
    for (const char c : row) {
      if (c == '"') quoted = !quoted;
      commas += !quoted && c == ',';
    }
    if (columns == 0) columns = commas;
    EXPECT_EQ(commas, columns) << row;
    EXPECT_FALSE(quoted) << row;
  }
  EXPECT_GT(columns, 8u);
  EXPECT_EQ(read_text(room_.path / "copy.json"), read_text(room_.path / "few.json"));

  ASSERT_EQ(run(quick({"--benchmark_out=copy.csv", "--benchmark_out_format=csv"})), 0);
  EXPECT_TRUE(read_text(room_.path / "copy.csv").starts_with("name,iterations,"));
}

TEST_F(RunLab, StoresAPredictionFromAPipe) {
  ASSERT_EQ(run(quick({"--predict"}), "ten percent\n"), 0);
  EXPECT_EQ(record().predictions, (lab::Predictions{{"How much slower?", "ten percent"}}));
  EXPECT_TRUE(contains(out_, "you predicted ten percent")) << out_;
  EXPECT_TRUE(contains(err_, "How much slower?")) << err_;
  ASSERT_EQ(run(quick({"--predict"}), "\n"), 0);
  EXPECT_TRUE(record().predictions.empty());
  ASSERT_EQ(run(quick({"--no-predict"}), "unasked\n"), 0);
  EXPECT_TRUE(record().predictions.empty());
  EXPECT_FALSE(contains(err_, "How much slower?")) << err_;
}

TEST_F(RunLab, KeepsALargerRunsRecordUnlessToldWhereToWrite) {
  ASSERT_EQ(run({"--benchmark_filter=-pair"}), 0) << err_;
  const auto files = room_.names();
  const auto file =
      std::find_if(files.begin(), files.end(), [](const std::string& name) { return name.ends_with("=-pair.json"); });
  ASSERT_NE(file, files.end());
  const std::filesystem::path path = room_.path / *file;
  EXPECT_EQ(lab::read_record(path).size, "normal");
  const std::string before = read_text(path);
  ASSERT_EQ(run({"--quick", "--benchmark_filter=-pair"}), 0);
  EXPECT_EQ(read_text(path), before);
  EXPECT_TRUE(contains(err_, "was kept")) << err_;
  ASSERT_EQ(run({"--quick", "--out", path.parent_path(), "--benchmark_filter=-pair"}), 0);
  EXPECT_EQ(lab::read_record(path).size, "quick");
}

TEST_F(RunLab, WritesARunWithOptionsOfItsOwnBesideThePlainOne) {
  ASSERT_EQ(run(kQuick), 0) << err_;
  const std::string plain = read_text(room_.path / "test_lab.json");
  ASSERT_EQ(run(quick({"--counts", "chosen", "--workers", "1,2", "--rounds", "2", "--benchmark_filter=plain|pair/w"})),
            0)
      << err_;
  EXPECT_EQ(read_text(room_.path / "test_lab.json"), plain);
  const auto beside = room_.path / "test_lab.workers=1,2.rounds=2.filter=plain_pair_w.counts=chosen.json";
  EXPECT_EQ(lab::read_record(beside).size, "quick") << err_;
}

TEST_F(RunLab, MeasuresAFullRunInFreshProcesses) {
  ASSERT_EQ(run({"--full", "--rounds", "4", "--out", "test_lab.json"}), 0) << err_;
  const lab::Record r = record();
  EXPECT_EQ(r.size, "full");
  EXPECT_GE(r.claims[0].rounds, 4);
  EXPECT_TRUE(contains(r.benchmark_json, R"("repetition_index":3)"));
  EXPECT_EQ(run({"--full", "--rounds", "4", "--out", ".", "--mishap", "kill"}), 1);
  EXPECT_TRUE(contains(err_, "signal 9 (Killed)") && contains(err_, "part 1")) << err_;
}

TEST_F(RunLab, EndsWithOneAfterAWrongAnswer) {
  EXPECT_EQ(run({"--quick", "--out", "test_lab.json", "--mishap", "wrong"}), 1);
  EXPECT_TRUE(contains(err_, "wrong answer: plain: every second answer is wrong")) << err_;
  EXPECT_TRUE(contains(record().benchmark_json, R"("label":"plain: every second answer is wrong")"));
  EXPECT_LT(record().claims[0].rounds, 3) << "its time must not count";
  EXPECT_EQ(run({"--quick", "--out", "test_lab.json", "--mishap", "lost"}), 1);
  EXPECT_EQ(record().claims[2].verdict, "not held");
}

TEST_F(RunLab, EndsWithOneWhenAnAnswerIsWrongBeforeTheTeamStarts) {
  EXPECT_EQ(run(quick({"--mishap", "early"})), 1);
  EXPECT_TRUE(contains(err_, "it was wrong before it began")) << err_;
}

TEST_F(RunLab, WhatItMustPrepareIsMissingBeforeAnythingIsAsked) {
  EXPECT_EQ(run(quick({"--mishap", "missing"})), 77);
  EXPECT_TRUE(contains(err_, "skipped: there is no moon")) << err_;
  EXPECT_FALSE(contains(err_, "Is a tenth more"));
  EXPECT_EQ(run({"--mishap", "missing", "--claims"}), 0) << "its claims can be read all the same";
}

TEST_F(RunLab, EndsWithOneAndTheReasonWhenAWorkerFails) {
  EXPECT_EQ(run(quick({"--mishap", "kill"})), 1);
  EXPECT_TRUE(contains(err_, "worker 1 (pid ") && contains(err_, "signal 9 (Killed)")) << err_;
  EXPECT_EQ(run(quick({"--mishap", "throw"})), 1);
  EXPECT_TRUE(contains(err_, "worker 1 (pid ") && contains(err_, "the disk is on fire")) << err_;
  EXPECT_EQ(run(quick({"--mishap", "hang"})), 1);
  EXPECT_TRUE(contains(err_, "missed the deadline")) << err_;
  EXPECT_TRUE(room_.names().empty());
}

TEST_F(RunLab, NamesAWorkerKilledFromOutside) {
  start(quick({"--mishap", "wait"}));
  const std::vector<pid_t> workers = wait_for_children(pid_, 2);
  ASSERT_EQ(workers.size(), 2u);
  ::kill(workers[0], SIGKILL);
  EXPECT_EQ(finish(), 1);
  EXPECT_TRUE(contains(err_, "(pid " + std::to_string(workers[0]) + ") ended with signal 9 (Killed)")) << err_;
  EXPECT_TRUE(room_.names().empty());
}

TEST_F(RunLab, TakesWorkersAlongThatWouldWaitForever) {
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    start(quick({"--mishap", "wait"}));
    ASSERT_EQ(wait_for_children(pid_, 2).size(), 2u);
    ::kill(pid_, signal);
    EXPECT_EQ(finish(), 128 + signal);

    start({"--full", "--rounds", "4", "--out", ".", "--mishap", "wait"});
    const std::vector<pid_t> parts = wait_for_children(pid_, 1);
    ASSERT_EQ(parts.size(), 1u);
    ASSERT_EQ(wait_for_children(parts[0], 2).size(), 2u);
    ::kill(pid_, signal);
    EXPECT_EQ(finish(), 128 + signal);
    EXPECT_TRUE(room_.names().empty());
  }
}

TEST_F(RunLab, LeavesNothingBehindWhereverASignalMeetsIt) {
  const auto begin = Clock::now();
  ASSERT_EQ(run(kQuick), 0);
  const auto whole = Clock::now() - begin;
  constexpr int kMoments = 12;
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    for (int moment = 0; moment < kMoments; ++moment) {
      for (const std::string& name : room_.names()) std::filesystem::remove(room_.path / name);
      start(moment % 4 == 3 ? Words{"--full", "--rounds", "4", "--out", "."} : kQuick);
      std::this_thread::sleep_for(whole * (2 * moment + 1) / (2 * kMoments));  // chooses the moment
      ::kill(signal == SIGINT ? -pid_ : pid_, signal);                         // Ctrl-C reaches the workers too
      const int status = finish();
      EXPECT_TRUE(status == 128 + signal || status == 0) << status << " at moment " << moment << ": " << err_;
      expect_whole_files();
      for (const std::string& name : room_.names()) EXPECT_TRUE(signal == SIGKILL || !name.starts_with(".")) << name;
    }
  }
}

}  // namespace
