// Talk for whoever looks on, as opposed to results.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace lab {

/// Prints to stderr. Where that is closed or full nothing is said and nothing fails: fmt::print would throw, in handlers
/// of errors, too.
template <class... Values>
void say(fmt::format_string<Values...> format, Values&&... values) {
  const std::string text = fmt::format(format, std::forward<Values>(values)...);
  [[maybe_unused]] const auto ignored = std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace lab
