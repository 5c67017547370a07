#include "common/harness/record.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <tuple>

#include "common/harness/testing.hpp"
#include "common/os/team.hpp"

namespace {

using lab::testing::Folder;
using lab::testing::read_text;
using lab::testing::SmallDisk;

lab::Record sample() {
  lab::Record r{.name = "02_gil", .title = "The interpreter lock", .size = "normal", .date = "2024-05-06T07:08:09Z"};
  r.claims.push_back({"gil.no_speedup", "ratio", "two threads, no gain: \"1x\" · µ", "a book", "x", 0.9, std::nullopt,
                      1.25, 1.0 / 3, 1.5, 14, 15, "can't tell", "because"});
  r.claims.push_back({"gil.lost", "fact", "no update is lost", "", "", {}, {}, {}, {}, {}, 0, 0, "held", ""});
  r.floors = {{"pipe", "write", 1.2, 1.1, 1.3}, {"queue", "pipe", {}, {}, {}}};
  r.environment = {{"cpu", "a CPU"}, {"quota", std::nullopt}};
  r.predictions = {{"How many?", "about 2\nor 3"}};
  r.tables = {{"drawing", "line one\n  line two\n"}, {"counts", "cores: 2"}};
  r.benchmark_json = R"({"context": {"date": "today", "host_name": "secret", "executable": "/home/me/x", "num_cpus": 2},
                         "benchmarks": [{"name": "a/workers:2", "real_time": 1.5}]})";
  return r;
}

lab::Record through_a_file(const std::string& text) {
  const Folder folder;
  lab::write_whole(folder.path / "r.json", text);
  return lab::read_record(folder.path / "r.json");
}

// The sentence read_record says of that text; fails the test when it reads it, or says something that is no
// std::runtime_error.
std::string refusal(const std::string& text) {
  try {
    through_a_file(text);
    ADD_FAILURE() << "was read: " << text.substr(0, 300);
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("r.json: "), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Record, ComesBackAsItWas) {
  const lab::Record before = sample(), after = through_a_file(to_json(before));
  EXPECT_EQ(after.name, before.name);
  EXPECT_EQ(after.title, before.title);
  EXPECT_EQ(after.size, before.size);
  EXPECT_EQ(after.date, before.date);
  ASSERT_EQ(after.claims.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    const lab::ClaimResult &a = after.claims[i], &b = before.claims[i];
    EXPECT_EQ(std::tie(a.id, a.kind, a.text, a.source, a.unit, a.band_low, a.band_high, a.estimate, a.low, a.high,
                       a.used_rounds, a.rounds, a.verdict, a.reason),
              std::tie(b.id, b.kind, b.text, b.source, b.unit, b.band_low, b.band_high, b.estimate, b.low, b.high,
                       b.used_rounds, b.rounds, b.verdict, b.reason));
  }
  ASSERT_EQ(after.floors.size(), 2u);
  EXPECT_EQ(after.floors[0].mechanism, "pipe");
  EXPECT_EQ(after.floors[0].floor, "write");
  EXPECT_EQ(after.floors[0].ratio, 1.2);
  EXPECT_EQ(after.floors[0].low, 1.1);
  EXPECT_EQ(after.floors[0].high, 1.3);
  EXPECT_FALSE(after.floors[1].ratio);
  EXPECT_EQ(after.environment, before.environment);
  EXPECT_EQ(after.predictions, before.predictions);
  EXPECT_EQ(after.tables, before.tables);
  EXPECT_EQ(to_json(after), to_json(before));  // the measurements too
}

TEST(Record, IsJsonThatNamesNeitherHostNorFolder) {
  const std::string json = to_json(sample());
  EXPECT_TRUE(nlohmann::json::accept(json));
  EXPECT_EQ(json.find("secret"), std::string::npos);
  EXPECT_EQ(json.find("/home/me"), std::string::npos);
  EXPECT_NE(json.find("\"schema\": 2"), std::string::npos);
  EXPECT_NE(json.find("\"num_cpus\": 2"), std::string::npos);
}

TEST(Record, HoldsNoNanOrInfinity) {
  lab::Record r = sample();
  r.claims[0].estimate = std::nan("");
  r.claims[0].high = HUGE_VAL;
  r.benchmark_json =
      R"({"benchmarks": [{"a": NaN, "b": -Infinity, "c": Infinity,"d":-NaN, "label": "so: NaN, \": Infinity\", C:\\"}]})";
  const std::string json = to_json(r);
  EXPECT_TRUE(nlohmann::json::accept(json)) << json;
  const lab::Record back = through_a_file(json);
  EXPECT_FALSE(back.claims[0].estimate);
  EXPECT_FALSE(back.claims[0].high);
  EXPECT_EQ(back.benchmark_json,
            R"({"benchmarks":[{"a":null,"b":null,"c":null,"d":null,"label":"so: NaN, \": Infinity\", C:\\"}]})");
}

TEST(Record, StandsTextThatIsNotUtf8) {
  lab::Record r = sample();
  r.predictions = {{"", "\xff\xfe two"}};
  EXPECT_TRUE(through_a_file(to_json(r)).predictions.at(0).second.ends_with(" two"));
}

TEST(Record, CutAnywhereIsRefused) {
  const std::string json = to_json(sample());
  for (std::size_t length = 0; length + 2 < json.size(); length += 50) refusal(json.substr(0, length));
}

TEST(Record, OfAnotherSchemaIsRefused) {
  EXPECT_NE(refusal(replaced(to_json(sample()), "\"schema\": 2", "\"schema\": 1"))
                .find("is of schema 1; this program reads schema 2"),
            std::string::npos);
  refusal(replaced(to_json(sample()), "\"schema\": 2", "\"schema\": \"2\""));
}

TEST(Record, WithoutAFieldIsRefused) {
  const std::string json = to_json(sample());
  for (const char* field :
       {"lab",    "schema", "name",      "title",    "size",  "date",        "claims",      "id",     "kind",
        "text",   "source", "band",      "estimate", "low",   "high",        "used_rounds", "rounds", "verdict",
        "reason", "floors", "mechanism", "floor",    "ratio", "environment", "prediction",  "tables"}) {
    // Within "lab": names occur in the measurements as well.
    const auto lab = json.find("\"lab\"");
    refusal(json.substr(0, lab) + replaced(json.substr(lab), fmt::format("\"{}\": ", field), "\"other\": "));
  }
}

TEST(Record, OfHostileTypesIsRefused) {
  const std::string json = to_json(sample());
  for (const char* text : {"", "null", "[]", "3", "\"lab\"", "{}", "{\"lab\": null}", "{\"lab\": []}",
                           "{\"lab\": {\"schema\": 2}}", "\xff", "{} {}"})
    refusal(text);
  refusal(replaced(json, "\"name\": \"02_gil\"", "\"name\": 7"));
  refusal(replaced(json, "\"name\": \"02_gil\"", "\"name\": null"));
  refusal(replaced(json, "\"used_rounds\": 14", "\"used_rounds\": \"14\""));
  refusal(replaced(json, "\"used_rounds\": 14", "\"used_rounds\": 1e300"));
  refusal(replaced(json, "\"used_rounds\": 14", "\"used_rounds\": {}"));
  refusal(replaced(json, "\"estimate\": 1.25", "\"estimate\": \"much\""));
  refusal(replaced(json, "\"estimate\": 1.25", "\"estimate\": NaN"));
  refusal(replaced(json, "\"answer\": \"about", "\"answer\": 5, \"p\": \"about"));
  refusal(replaced(json, "\"drawing\": ", "\"drawing\": [], \"x\": "));
  refusal(replaced(json, "\"cpu\": \"a CPU\"", "\"cpu\": 3"));
  const std::string deep(1'000'000, '[');
  refusal(deep);
  refusal(replaced(json, "\"date\": \"today\"", "\"date\": " + deep + std::string(1'000'000, ']')));
}

TEST(Record, ThatIsNoFileIsRefused) {
  const Folder folder;
  EXPECT_THROW(lab::read_record(folder.path / "none.json"), std::runtime_error);
  EXPECT_THROW(lab::read_record(folder.path), std::runtime_error);
}

TEST(WriteWhole, MakesFoldersAndReplaces) {
  const Folder folder;
  const auto path = folder.path / "results" / "machine" / "r.json";
  lab::write_whole(path, "a longer first text");
  lab::write_whole(path, "second");
  EXPECT_EQ(read_text(path), "second");
  EXPECT_EQ(folder.names().size(), 3u);  // two folders, one file
}

TEST(WriteWhole, SaysWhereItCannot) {
  const Folder folder;
  std::filesystem::create_directories(folder.path / "r.json" / "full");
  try {
    lab::write_whole(folder.path / "r.json", "text");
    FAIL() << "replaced a folder";
  } catch (const std::system_error& error) {
    EXPECT_NE(std::string(error.what()).find("cannot write " + (folder.path / "r.json").string()), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(folder.names().size(), 2u);
  const auto pipe = folder.path / "pipe";  // as /dev/null, which root could replace
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(lab::write_whole(pipe, "text"), std::system_error);
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  lab::write_whole(folder.path / "file", "text");
  EXPECT_THROW(lab::write_whole(folder.path / "file" / "r.json", "text"), std::system_error);
  EXPECT_THROW(lab::write_whole("/proc/no_such/r.json", "text"), std::system_error);
}

TEST(WriteWhole, KeepsTheOldOneOnAFullOrReadOnlyDisk) {
  const Folder folder;
  const SmallDisk disk(folder.path, 256 << 10);
  if (!disk.mounted) GTEST_SKIP() << "takes root";
  const auto path = folder.path / "r.json";
  lab::write_whole(path, "old");
  EXPECT_THROW(lab::write_whole(path, std::string(1 << 20, 'x')), std::system_error);
  EXPECT_EQ(read_text(path), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"r.json"});
  ASSERT_TRUE(disk.make_read_only());
  EXPECT_THROW(lab::write_whole(path, "new"), std::system_error);
  EXPECT_EQ(read_text(path), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"r.json"});
}

TEST(WriteWhole, TwoWritersDoNotDisturbEachOther) {
  const Folder folder;
  const auto path = folder.path / "r.json";
  std::vector<pid_t> writers;
  for (const char letter : {'a', 'b'}) {
    writers.push_back(lab::fork_child());
    if (writers.back() == 0) {
      lab::leave([&] {
        for (int i = 0; i < 200; ++i) lab::write_whole(path, std::string(10'000, letter));
      });
    }
  }
  for (const pid_t writer : writers) {
    int status = 0;
    ASSERT_EQ(::waitpid(writer, &status, 0), writer);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(read_text(path).size(), 10'000u);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"r.json"});
}

std::string temporary;
volatile std::sig_atomic_t seen_temporary = 0;

TEST(WriteWhole, LetsNoSignalInWhileItsTemporaryFileHasAName) {
  const Folder folder;
  temporary = folder.path / ".r.json.new";
  std::signal(SIGALRM, [](int) {
    const int before = errno;
    seen_temporary = seen_temporary || ::access(temporary.c_str(), F_OK) == 0;
    errno = before;
  });
  const itimerval often{{0, 23}, {0, 23}}, never{};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  for (int i = 0; i < 300; ++i) lab::write_whole(folder.path / "r.json", "text");
  ::setitimer(ITIMER_REAL, &never, nullptr);
  std::signal(SIGALRM, SIG_DFL);
  EXPECT_FALSE(seen_temporary);
}

TEST(WriteWhole, LeavesAWholeFileWhenKilled) {
  int second_files = 0;
  for (const int signal : {SIGTERM, SIGINT, SIGKILL}) {
    for (int moment = 0; moment < 12; ++moment) {
      const Folder folder;
      const auto path = folder.path / "r.json";
      const pid_t writer = lab::fork_child();
      if (writer == 0) {
        lab::leave([&] {
          for (char letter = 'a';; letter = letter == 'a' ? 'b' : 'a')
            lab::write_whole(path, std::string(300'000, letter));
        });
      }
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (!std::filesystem::exists(path) && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      // Whoever reads meanwhile, until the moment has come, finds a whole file.
      const auto when = std::chrono::steady_clock::now() + std::chrono::microseconds(97 * moment);
      do {
        EXPECT_EQ(read_text(path).size(), 300'000u);
      } while (std::chrono::steady_clock::now() < when);
      ::kill(writer, signal);
      int status = 0;
      ASSERT_EQ(::waitpid(writer, &status, 0), writer);
      EXPECT_EQ(WTERMSIG(status), signal);
      const std::string text = read_text(path);
      ASSERT_EQ(text.size(), 300'000u);
      EXPECT_EQ(text, std::string(300'000, text[0]));
      // Between naming the file and renaming it SIGKILL may leave a second, whole one: the next writer removes it.
      second_files += folder.names().size() > 1;
      for (const std::string& name : folder.names()) EXPECT_EQ(read_text(folder.path / name).size(), 300'000u) << name;
      if (signal == SIGKILL) lab::write_whole(path, text);
      EXPECT_EQ(folder.names(), std::vector<std::string>{"r.json"});
    }
  }
  EXPECT_LT(second_files, 6);  // a moment of microseconds, not all the time it takes to write
}

}  // namespace
