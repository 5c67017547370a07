#include "hostile.hpp"

#include <filesystem>
#include <fstream>

#include "pool_tasks.hpp"

namespace lab::pool {
namespace {

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

}  // namespace
}  // namespace lab::pool
