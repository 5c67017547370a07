#include "common/multiprocessing/pipe/hostile.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/os/test_corpus.hpp"

namespace lab::pipe {
namespace {

using std::string_literals::operator""s;

TEST(Hostile, TheFuzzersCorpusIsAnsweredWithSentences) {
  const auto inputs = read_corpus(READERS_CORPUS);
  EXPECT_GT(inputs.size(), 20u);
  for (const std::string& input : inputs) EXPECT_NO_THROW(read_hostile_bytes(input));
}

TEST(Hostile, ValidMessagesCutAndChangedAnywhere) {
  const std::map<std::string, std::string> texts{{"key", "text"}, {"other", ""}};
  const std::string body = encode(texts), frame = "\0\0\0"s + static_cast<char>(body.size()) + body;
  for (const std::string& whole : {"\0"s + frame + frame, "\1"s + frame + frame, "\2"s + frame + frame}) {
    for (std::size_t at = 0; at <= whole.size(); ++at) EXPECT_NO_THROW(read_hostile_bytes(whole.substr(0, at)));
    for (std::size_t at = 1; at < whole.size(); ++at) {
      for (const char c : {'\0', '\x7f', '\x80', '\xff'}) {
        std::string changed = whole;
        changed[at] = c;
        EXPECT_NO_THROW(read_hostile_bytes(changed));
      }
    }
  }
}

}  // namespace
}  // namespace lab::pipe
