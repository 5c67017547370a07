// JSON as a message: a text any language can read, for comparison with the codec. Just objects of strings, {"key":
// "text", ...}.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <string_view>

#include "common/os/codec.hpp"

namespace lab::pipe {

namespace json {

inline void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;  // UTF-8 as it is
    }
  }
  out += '"';
}

/// Takes one token after another from a text that may be anything. Throws MessageError where JSON demands something
/// else.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool take(char wanted) {  // after white space
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_[0]) != std::string_view::npos)
      rest_.remove_prefix(1);
    const bool there = !rest_.empty() && rest_[0] == wanted;
    if (there) rest_.remove_prefix(1);
    return there;
  }
  void expect(char wanted) {
    if (!take(wanted))
      throw MessageError(fmt::format("JSON text lacks '{}' {} bytes before its end", wanted, rest_.size()));
  }
  std::string quoted() {
    expect('"');
    std::string text;
    for (char c; (c = next()) != '"';) text += c == '\\' ? escaped() : c;
    return text;
  }
  void finish() {
    while (take(' ')) {
    }
    if (!rest_.empty()) throw MessageError(fmt::format("JSON text has {} bytes too many", rest_.size()));
  }

 private:
  char next() {
    if (rest_.empty()) throw MessageError("JSON text is cut short");
    const char c = rest_[0];
    rest_.remove_prefix(1);
    return c;
  }
  char escaped() {
    const char c = next();
    if (c == '"' || c == '\\' || c == '/') return c;
    if (c == 'n') return '\n';
    if (c == 't') return '\t';
    if (c != 'u') throw MessageError("JSON text holds an escape that is not known here");
    unsigned code = 0;
    for (int i = 0; i < 4; ++i) {
      const auto digit = std::string_view("0123456789abcdef").find(static_cast<char>(next() | 0x20));
      if (digit == std::string_view::npos) throw MessageError("JSON text holds an escape that is no number");
      code = code * 16 + static_cast<unsigned>(digit);
    }
    if (code > 0x7f) throw MessageError("JSON text holds an escaped letter beyond ASCII: send it as UTF-8");
    return static_cast<char>(code);
  }
  std::string_view rest_;
};

}  // namespace json

inline std::string to_json(const std::map<std::string, std::string>& texts) {
  std::string out = "{";
  for (const auto& [key, text] : texts) {
    if (out.size() > 1) out += ',';
    json::append_quoted(out, key);
    out += ':';
    json::append_quoted(out, text);
  }
  return out + "}";
}

/// Throws MessageError for what is no such object. A key that comes twice keeps its last value.
inline std::map<std::string, std::string> parse_json_texts(std::string_view text) {
  json::Reader reader(text);
  std::map<std::string, std::string> texts;
  reader.expect('{');
  if (!reader.take('}')) {
    do {
      std::string key = reader.quoted();
      reader.expect(':');
      texts.insert_or_assign(std::move(key), reader.quoted());
    } while (reader.take(','));
    reader.expect('}');
  }
  reader.finish();
  return texts;
}

}  // namespace lab::pipe
