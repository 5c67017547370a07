#include "common/harness/record.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>  // slow to compile: this file alone includes it
#include <sstream>
#include <stdexcept>

#include "common/os/descriptor.hpp"

namespace lab {
namespace {

using nlohmann::ordered_json;

constexpr int kSchema = 2;

template <class T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}
std::optional<double> number(const ordered_json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}
std::optional<std::string> text(const ordered_json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
}

// JSON counts with doubles too; a cast of 1e300 would be undefined.
int whole(const ordered_json& value) {
  return static_cast<int>(value.get_ref<const ordered_json::number_integer_t&>());
}

// The library writes NaN and Infinity as bare words, which are not JSON. The same words inside strings are left alone.
ordered_json parse_measurements(const std::string& json) {
  std::string clean;
  bool quoted = false;
  for (std::size_t i = 0; i < json.size();) {
    std::size_t take = quoted && json[i] == '\\' ? 2 : 1;
    if (json[i] == '"') quoted = !quoted;
    std::string_view as = std::string_view(json).substr(i, take);
    for (const std::string_view word : {"NaN", "-NaN", "Infinity", "-Infinity"}) {
      if (!quoted && json.compare(i, word.size(), word) == 0) {
        as = "null";
        take = word.size();
      }
    }
    clean += as;
    i += take;
  }
  return ordered_json::parse(clean);
}

// The whole with an indented line a member, but each benchmark on a line of its own: about a thousand lines, whose
// difference to the next run's can be read.
std::string one_benchmark_a_line(ordered_json json) {
  const auto dump = [](const ordered_json& part, int indent) {
    return part.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
  };
  std::string rows;
  if (json.contains("benchmarks")) {
    for (const ordered_json& row : json["benchmarks"]) rows += (rows.empty() ? "\n  " : ",\n  ") + dump(row, -1);
    json["benchmarks"] = nullptr;
  }
  std::string text = dump(json, 1) + "\n";
  constexpr std::string_view kPlace = "\n \"benchmarks\": null";  // only a member of the whole is indented by one
  if (const auto at = text.find(kPlace); at != std::string::npos)
    text.replace(at + kPlace.size() - 4, 4, "[" + rows + "\n ]");
  return text;
}

// Signals that would end the program between making a temporary file and renaming it wait until it is done.
class HoldSignals {
 public:
  HoldSignals() {
    sigset_t held;
    sigfillset(&held);
    pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~HoldSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

Record read_record(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path.string() + ": cannot be read");
  std::stringstream content;
  content << file.rdbuf();
  Record record;
  try {
    // The depth is bounded: copying and writing JSON are recursive.
    ordered_json json =
        ordered_json::parse(content.str(), [&](int depth, ordered_json::parse_event_t, const ordered_json&) {
          if (depth > 20) throw std::runtime_error(path.string() + ": is no lab's record (nested too deeply)");
          return true;
        });
    const ordered_json lab = json.at("lab");
    if (lab.at("schema") != kSchema) {
      throw std::runtime_error(path.string() + ": is of schema " + lab.at("schema").dump() +
                               fmt::format("; this program reads schema {}", kSchema));
    }
    record.name = lab.at("name");
    record.title = lab.at("title");
    record.size = lab.at("size");
    record.date = lab.at("date");
    for (const ordered_json& c : lab.at("claims")) {
      record.claims.push_back({c.at("id"), c.at("kind"), c.at("text"), c.at("source"), c.at("unit"),
                               number(c.at("band").at(0)), number(c.at("band").at(1)), number(c.at("estimate")),
                               number(c.at("low")), number(c.at("high")), whole(c.at("used_rounds")),
                               whole(c.at("rounds")), c.at("verdict"), c.at("reason")});
    }
    for (const ordered_json& f : lab.at("floors")) {
      record.floors.push_back(
          {f.at("mechanism"), f.at("floor"), number(f.at("ratio")), number(f.at("low")), number(f.at("high"))});
    }
    for (const auto& [key, value] : lab.at("environment").items()) record.environment.emplace_back(key, text(value));
    for (const ordered_json& p : lab.at("prediction").is_null() ? ordered_json::array() : lab.at("prediction"))
      record.predictions.emplace_back(p.at("question"), p.at("answer"));
    for (const auto& [key, value] : lab.at("tables").items()) record.tables.emplace_back(key, value);
    json.erase("lab");
    record.benchmark_json = json.dump();
  } catch (const ordered_json::exception& error) {
    throw std::runtime_error(path.string() + ": is damaged or no lab's record (" + error.what() + ")");
  }
  return record;
}

std::string to_json(const Record& record) {
  ordered_json json =
      record.benchmark_json.empty() ? ordered_json::object() : parse_measurements(record.benchmark_json);
  if (json.contains("context")) {  // results are shared: they name neither host nor folders
    json["context"].erase("host_name");
    json["context"].erase("executable");
  }
  ordered_json claims = ordered_json::array(), floors = ordered_json::array(), predictions;
  for (const ClaimResult& c : record.claims) {
    claims.push_back({{"id", c.id},
                      {"kind", c.kind},
                      {"text", c.text},
                      {"source", c.source},
                      {"unit", c.unit},
                      {"band", {or_null(c.band_low), or_null(c.band_high)}},
                      {"estimate", or_null(c.estimate)},
                      {"low", or_null(c.low)},
                      {"high", or_null(c.high)},
                      {"used_rounds", c.used_rounds},
                      {"rounds", c.rounds},
                      {"verdict", c.verdict},
                      {"reason", c.reason}});
  }
  for (const FloorResult& f : record.floors) {
    floors.push_back({{"mechanism", f.mechanism},
                      {"floor", f.floor},
                      {"ratio", or_null(f.ratio)},
                      {"low", or_null(f.low)},
                      {"high", or_null(f.high)}});
  }
  for (const auto& [question, answer] : record.predictions)
    predictions.push_back({{"question", question}, {"answer", answer}});
  ordered_json environment = ordered_json::object(), tables = ordered_json::object();
  for (const auto& [key, value] : record.environment) environment[key] = or_null(value);
  for (const auto& [key, value] : record.tables) tables[key] = value;
  json["lab"] = {{"schema", kSchema},   {"name", record.name},        {"title", record.title},
                 {"size", record.size}, {"date", record.date},        {"claims", claims},
                 {"floors", floors},    {"environment", environment}, {"prediction", predictions},
                 {"tables", tables}};
  return one_benchmark_a_line(std::move(json));
}

void write_whole(const std::filesystem::path& path, const std::string& content) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::filesystem::create_directories(folder);
  const std::string what = "cannot write " + path.string();
  if (std::filesystem::exists(path) &&
      !std::filesystem::is_regular_file(path)) {  // rename would replace even /dev/null
    throw std::system_error(std::make_error_code(std::errc::file_exists), what);
  }
  const Descriptor home(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ::flock(home.get(), LOCK_EX);  // one writer at a time, for they share the temporary name; not every file system can
  // The file has no name until it is whole, so that nothing is left behind should we be killed while we write.
  Descriptor file(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644));
  const bool nameless = static_cast<bool>(file);
  const std::string temporary = (folder / fmt::format(".{}.new", path.filename().string())).string();
  const HoldSignals hold;
  ::unlink(temporary.c_str());  // what a killed program may have left
  if (!nameless) {
    file.reset(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file) throw_errno(what);
  }
  try {
    write_all(file.get(), std::as_bytes(std::span(content)));
    if (::fsync(file.get()) < 0) throw_errno(what);
    if (nameless && ::linkat(AT_FDCWD, fmt::format("/proc/self/fd/{}", file.get()).c_str(), AT_FDCWD, temporary.c_str(),
                             AT_SYMLINK_FOLLOW) < 0) {
      throw_errno(what);
    }
    if (::rename(temporary.c_str(), path.c_str()) < 0) throw_errno(what);
  } catch (const std::system_error& error) {
    ::unlink(temporary.c_str());
    throw std::system_error(error.code(), what);
  }
}

}  // namespace lab
