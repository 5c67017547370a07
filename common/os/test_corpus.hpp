// What fuzzers have found worth keeping, for tests that replay it.
#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace lab {

/// The inputs in readers_corpus.txt beside that source file (__FILE__): one a line, in hexadecimal digits. Throws
/// std::runtime_error when there are none.
inline std::vector<std::string> read_corpus(const char* beside) {
  const auto path = std::filesystem::path(beside).parent_path() / "readers_corpus.txt";
  std::ifstream file(path);
  std::vector<std::string> inputs;
  for (std::string line; std::getline(file, line);) {
    std::string& bytes = inputs.emplace_back();
    for (std::size_t i = 0; i + 1 < line.size(); i += 2)
      bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
  }
  if (inputs.empty()) throw std::runtime_error("no inputs in " + path.string());
  return inputs;
}

}  // namespace lab
