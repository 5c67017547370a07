// Hostile bytes for the Decoder and receive_message. The first byte chooses what they are taken for; what is accepted
// must, put again, be the same bytes: then nothing was read that was not there, nor anything made up. Replayed over
// corpus/ by codec_test.
#include <fmt/format.h>

#include <cstdlib>

#include "common/os/message.hpp"

namespace {

using namespace lab;

enum class Colour : std::uint8_t { red, green };

struct Leaf {
  int id = 0;
  std::string name;
  std::optional<double> weight;
  auto members() { return std::tie(id, name, weight); }
};

struct Tree {
  std::vector<Tree> children;
  auto members() { return std::tie(children); }
};

struct Nest : std::variant<bool, std::string, std::map<std::string, Leaf>, std::vector<Nest>> {
  using variant::variant;
};

void require(bool right, const char* what) {
  if (right) return;
  fmt::print(stderr, "{}\n", what);
  std::abort();
}

template <class T>
void take_for(std::string_view bytes) {
  try {
    const T value = decode<T>(bytes);
    require(encode(value) == bytes, "what was decoded is not what was there");
  } catch (const MessageError&) {
  }
}

void receive(std::string_view bytes) {
  bytes = bytes.substr(0, 4096);  // what any pipe takes at once
  auto [reader, writer] = make_pipe();
  write_all(writer.get(), std::as_bytes(std::span(bytes)));
  writer.reset();
  std::size_t used = 0;
  try {
    while (const auto body = receive_message(reader.get())) {
      used += sizeof(std::uint32_t) + body->size();
      require(used <= bytes.size() && *body == bytes.substr(used - body->size(), body->size()),
              "another message arrived");
    }
    require(used == bytes.size(), "bytes were lost");
  } catch (const MessageError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr void (*ways[])(std::string_view) = {
      take_for<std::tuple<bool, std::int8_t, std::uint64_t, float, Colour>>,
      take_for<std::string>,
      take_for<std::vector<double>>,
      take_for<std::vector<bool>>,
      take_for<std::map<std::string, std::vector<Leaf>>>,
      take_for<std::map<double, std::optional<std::vector<std::optional<std::string>>>>>,
      take_for<Tree>,
      receive,
      take_for<Nest>,
  };
  if (size > 0) ways[data[0] % std::size(ways)]({reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
