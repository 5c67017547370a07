#include "hostile.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace lab::pipe {
namespace {

using std::string_literals::operator""s;

// What the fuzzer has found worth keeping: an input a line, in hexadecimal digits.
std::vector<std::string> corpus() {
  std::ifstream file(std::filesystem::path(__FILE__).parent_path() / "readers_corpus.txt");
  std::vector<std::string> inputs;
  for (std::string line; std::getline(file, line);) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < line.size(); i += 2) {
      bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    }
    inputs.push_back(bytes);
  }
  return inputs;
}

TEST(Hostile, TheFuzzersCorpusIsAnsweredWithSentences) {
  const auto inputs = corpus();
  EXPECT_GT(inputs.size(), 20u);
  for (const std::string& input : inputs) EXPECT_NO_THROW(read_hostile_bytes(input));
}

TEST(Hostile, ValidMessagesCutAndChangedAnywhere) {
  const std::map<std::string, std::string> texts{{"key", "text"}, {"other", ""}};
  const std::string body = encode(texts), frame = "\0\0\0"s + static_cast<char>(body.size()) + body;
  for (const std::string& whole : {"\0"s + frame + frame, "\1"s + frame + frame, "\2"s + to_json(texts)}) {
    for (std::size_t at = 0; at <= whole.size(); ++at) EXPECT_NO_THROW(read_hostile_bytes(whole.substr(0, at)));
    for (std::size_t at = 1; at < whole.size(); ++at) {
      for (const char c : {'\0', '\x7f', '\x80', '\xff', '"', '\\'}) {
        std::string changed = whole;
        changed[at] = c;
        EXPECT_NO_THROW(read_hostile_bytes(changed));
      }
    }
  }
}

}  // namespace
}  // namespace lab::pipe
