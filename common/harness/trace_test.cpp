#include "common/harness/trace.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "common/harness/testing.hpp"
#include "common/os/team.hpp"

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

TEST(Trace, OfNothingIsValid) {
  const lab::Trace trace(1);
  EXPECT_EQ(trace.size(), 0u);
  EXPECT_TRUE(nlohmann::json::accept(trace.to_json())) << trace.to_json();
}

TEST(Trace, WritesCompleteEventsInMicrosecondsFromTheFirst) {
  lab::Trace trace;
  trace.name_track(0, "main");
  trace.span("later", 1, 5'000'001'500, 5'000'003'000);
  trace.span("first", 0, 5'000'000'000, 5'000'001'000);
  const std::string json = trace.to_json();
  EXPECT_TRUE(nlohmann::json::accept(json)) << json;
  EXPECT_EQ(json.rfind("{\"traceEvents\":[", 0), 0u);
  EXPECT_NE(json.find(R"({"name":"thread_name","ph":"M","pid":1,"tid":0,"args":{"name":"main"}})"), std::string::npos)
      << json;
  EXPECT_NE(json.find(R"({"name":"first","ph":"X","ts":0.000,"dur":1.000,"pid":1,"tid":0})"), std::string::npos)
      << json;
  EXPECT_NE(json.find(R"({"name":"later","ph":"X","ts":1.500,"dur":1.500,"pid":1,"tid":1})"), std::string::npos)
      << json;
  EXPECT_NE(json.find("\"dropped\":0"), std::string::npos) << json;
}

TEST(Trace, KeepsOddNamesValid) {
  lab::Trace trace;
  trace.name_track(0, "a \"quoted\\name\"\n\x01");
  trace.span("says \"hi\"", 0, 1, 2);
  EXPECT_TRUE(nlohmann::json::accept(trace.to_json())) << trace.to_json();
}

TEST(Trace, IsBoundedAndCountsWhatItDropped) {
  lab::Trace trace(10);
  for (int i = 0; i < 25; ++i) trace.span("holds", 0, i, i + 1);
  EXPECT_EQ(trace.size(), 10u);
  const std::string json = trace.to_json();
  EXPECT_TRUE(nlohmann::json::accept(json));
  EXPECT_EQ(count(json, "\"ph\":\"X\""), 10u);
  EXPECT_NE(json.find("\"dropped\":15"), std::string::npos) << json;
}

TEST(Trace, HasTheSpansOfForkedChildrenAndThreads) {
  lab::Trace trace;
  const auto record = [&](int track) {
    for (int i = 0; i < 1000; ++i) trace.span("holds", track, i, i + 1);
  };
  std::vector<pid_t> children;
  for (int track = 1; track <= 3; ++track) {
    children.push_back(lab::fork_child());
    if (children.back() == 0) lab::leave([&] { record(track); });
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  std::thread(record, 4).join();
  const std::string json = trace.to_json();
  EXPECT_TRUE(nlohmann::json::accept(json));
  for (const char* track : {"\"tid\":1}", "\"tid\":2}", "\"tid\":3}", "\"tid\":4}"})
    EXPECT_EQ(count(json, track), 1000u) << track;
}

}  // namespace
