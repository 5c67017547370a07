// What fuzzers have found worth keeping, for tests that replay it.
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace lab {

/// The inputs in that file: one a line, in hexadecimal digits. CMake gives a test the path of its readers_corpus.txt as
/// READERS_CORPUS, for __FILE__ may be relative to wherever the compiler ran. Throws std::runtime_error when there are none.
inline std::vector<std::string> read_corpus(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> inputs;
  for (std::string line; std::getline(file, line);) {
    std::string& bytes = inputs.emplace_back();
    for (std::size_t i = 0; i + 1 < line.size(); i += 2)
      bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
  }
  if (inputs.empty()) throw std::runtime_error(std::string("no inputs in ") + path);
  return inputs;
}

}  // namespace lab
