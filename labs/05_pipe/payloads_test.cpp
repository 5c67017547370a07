#include "payloads.hpp"

#include <gtest/gtest.h>

namespace lab::pipe {
namespace {

TEST(Payloads, ComeBackFromEveryFormat) {
  EXPECT_EQ(decode<std::vector<Reading>>(encode(readings())), readings());
  EXPECT_EQ(decode<std::vector<double>>(encode(numbers())), numbers());
  for (const Texts& all : {texts(), Texts{}, Texts{{"", ""}, {"quote\"", "line\n\t\1 smörgås €"}}}) {
    EXPECT_EQ(decode<Texts>(encode(all)), all);
    EXPECT_EQ(from_json(to_json(all)), all);
    EXPECT_EQ(from_msgpack(to_msgpack(all)), all);
  }
}

TEST(Payloads, AreOfOneSize) {  // carried in the time of 32 KiB: the claim on the codec depends on it
  for (const std::string& bytes : {encode(readings()), encode(numbers()), encode(texts()), to_msgpack(texts())}) {
    EXPECT_GT(bytes.size(), 24u << 10);
    EXPECT_LT(bytes.size(), 40u << 10);
  }
}

}  // namespace
}  // namespace lab::pipe
