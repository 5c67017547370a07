#include "json.hpp"

#include <gtest/gtest.h>

namespace lab::pipe {
namespace {

using Texts = std::map<std::string, std::string>;
using std::string_literals::operator""s;

TEST(Json, TextsComeBack) {
  for (const Texts& texts :
       {Texts{}, Texts{{"a", "1"}}, Texts{{"", ""}, {"quote\"", "back\\slash"}, {"line\n\t\1\0\x7f"s, "smörgås €"}}}) {
    EXPECT_EQ(parse_json_texts(to_json(texts)), texts);
  }
}

TEST(Json, IsTheJsonOthersReadAndWrite) {
  EXPECT_EQ(to_json({{"k", "a\n"}, {"l", "\""}}), R"({"k":"a\u000a","l":"\""})");
  EXPECT_EQ(parse_json_texts(" { \"k\" :\n\"a\\nb\\/\\u0041\" , \"l\":\"\" } "), (Texts{{"k", "a\nb/A"}, {"l", ""}}));
}

TEST(Json, AnythingElseIsRefused) {
  for (const char* text : {"", "{", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":1}", "{\"a\":\"b\"", "{\"a\":\"b\",}",
                           "{\"a\":\"b\"}x", "{\"a\":\"\\", "{\"a\":\"\\u00", "{\"a\":\"\\u00g0\"}",
                           "{\"a\":\"\\ud800\"}", "{\"a\":\"\\x\"}", "{a:\"b\"}"}) {
    EXPECT_THROW(parse_json_texts(text), MessageError) << text;
  }
}

}  // namespace
}  // namespace lab::pipe
