#include "common/machine/environment.hpp"

#include <gtest/gtest.h>
#include <sys/utsname.h>

namespace {

using namespace lab;

std::optional<std::string> value(const Environment& environment, const std::string& name) {
  for (const auto& [key, text] : environment) {
    if (key == name) return text;
  }
  return "no such entry";
}

TEST(Environment, NamesInTheirOrder) {
  std::string names;
  for (const auto& [name, text] : environment(this_machine())) {
    names += name + " ";
    EXPECT_NE(text, "") << name << ": what is unknown is none, not empty";
  }
  EXPECT_EQ(names, "cpu topology allowed_cpus quota kernel compiler flags commit load governor hypervisor ");
}

TEST(Environment, TellsOfTheMachine) {
  const Environment e = environment(synthetic_machine("core:6 pu:2", "0-3,5,8-9", 1.5));
  EXPECT_EQ(value(e, "cpu"), std::nullopt);
  EXPECT_EQ(value(e, "topology"), "1 package, 6 cores, 12 hardware threads");
  EXPECT_EQ(value(e, "allowed_cpus"), "0-3,5,8-9");
  EXPECT_EQ(value(e, "quota"), "1.5");
  EXPECT_EQ(value(environment(synthetic_machine("pu:1")), "quota"), std::nullopt);
  EXPECT_EQ(value(environment(synthetic_machine("pu:1")), "allowed_cpus"), "0");
}

TEST(Environment, NamesNoHost) {
  utsname kernel{};
  uname(&kernel);
  const std::string host = kernel.nodename;
  if (host.size() < 4) GTEST_SKIP() << "too short to be looked for";
  for (const auto& [name, text] : environment(this_machine())) {
    EXPECT_EQ(text.value_or("").find(host), std::string::npos) << name;
  }
}

TEST(Untimeable, KnowsHowThisTestWasBuilt) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  EXPECT_EQ(untimeable(), "built with a sanitizer");
#elif !defined(NDEBUG)
  EXPECT_NE(untimeable(), std::nullopt);
#else
  EXPECT_NE(untimeable(), "a debug build");
#endif
}

TEST(Version, StartsWithTheProjects) {
  EXPECT_TRUE(version().starts_with("1.0")) << version();
}

}  // namespace
