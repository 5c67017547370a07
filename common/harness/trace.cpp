#include "common/harness/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <string_view>

namespace lab {
namespace {

// A JSON string. Control characters have no place in a name.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + '"';
}

}  // namespace

void Trace::span(const char* name, int track, std::int64_t begin, std::int64_t end) {
  const std::uint64_t at = used_->fetch_add(1, std::memory_order_relaxed);
  if (at < spans_.size()) spans_[at] = {name, track, begin, end};
}

std::size_t Trace::size() const { return std::min<std::size_t>(used_->load(), spans_.size()); }

std::string Trace::to_json() const {
  std::int64_t first = INT64_MAX;
  for (std::size_t i = 0; i < size(); ++i) first = std::min(first, spans_[i].begin);
  std::string events;
  const auto add = [&](const std::string& event) { events += (events.empty() ? "\n" : ",\n") + event; };
  for (const auto& [track, name] : tracks_) {
    add(fmt::format(R"({{"name":"thread_name","ph":"M","pid":1,"tid":{},"args":{{"name":{}}}}})", track,
                    json_string(name)));
  }
  for (std::size_t i = 0; i < size(); ++i) {
    const Span& s = spans_[i];
    add(fmt::format(R"({{"name":{},"ph":"X","ts":{:.3f},"dur":{:.3f},"pid":1,"tid":{}}})", json_string(s.name),
                    1e-3 * static_cast<double>(s.begin - first), 1e-3 * static_cast<double>(s.end - s.begin), s.track));
  }
  return fmt::format("{{\"traceEvents\":[{}\n],\"displayTimeUnit\":\"ms\",\"otherData\":{{\"dropped\":{}}}}}\n", events,
                     used_->load() - size());
}

}  // namespace lab
