#include "common/os/codec.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "common/os/test_allocations.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace lab;

enum class Colour : std::uint8_t { red, green, blue };

struct Point {
  double x = 0, y = 0;
  auto members() { return std::tie(x, y); }
  bool operator==(const Point&) const = default;
};

struct Job {
  int id = 0;
  Colour colour = Colour::red;
  std::string name;
  std::vector<Point> path;
  std::map<std::string, std::vector<int>> lists;
  std::optional<Point> goal;
  std::vector<bool> flags;
  auto members() { return std::tie(id, colour, name, path, lists, goal, flags); }
  bool operator==(const Job&) const = default;
};

struct Tree {
  std::vector<Tree> children;
  auto members() { return std::tie(children); }
};

/// A number, or any number of its like.
struct Nest : std::variant<int, std::vector<Nest>> {
  using Items = std::vector<Nest>;
  using variant::variant;
};

const Job kJob{
    7,           Colour::blue,       std::string("zero \0 inside", 13), {{1, 2}, {3, 4}}, {{"a", {1, 2}}, {"b", {}}},
    Point{5, 6}, {true, false, true}};

template <class T>
void expect_round_trip(const T& value) {
  EXPECT_EQ(decode<T>(encode(value)), value);
}

template <class T>
std::string refusal(std::string_view bytes) {
  try {
    decode<T>(bytes);
  } catch (const MessageError& error) {
    return error.what();
  }
  return "accepted";
}

template <class T>
class Numbers : public testing::Test {};
using NumberTypes = testing::Types<char, signed char, unsigned char, short, unsigned short, int, unsigned, long,
                                   unsigned long, long long, unsigned long long, float, double>;
TYPED_TEST_SUITE(Numbers, NumberTypes);

TYPED_TEST(Numbers, ComeBack) {
  using Limits = std::numeric_limits<TypeParam>;
  for (const TypeParam value : {Limits::lowest(), TypeParam{0}, TypeParam{1}, Limits::max()}) expect_round_trip(value);
  expect_round_trip(std::vector<TypeParam>{});
  expect_round_trip(std::vector<TypeParam>{Limits::lowest(), 1, Limits::max()});
}

TEST(Codec, EveryTypeComesBack) {
  for (const bool truth : {false, true}) expect_round_trip(truth);
  expect_round_trip(Colour::green);
  for (const std::string text : {"", "text", "\xff\xfe"}) expect_round_trip(text);
  expect_round_trip(std::string(100'000, 'x'));
  expect_round_trip(std::vector<bool>{});
  expect_round_trip(std::vector<bool>{true, false});
  expect_round_trip(std::vector<Colour>{Colour::red, Colour::blue});
  expect_round_trip(std::vector<std::string>{"", "a", std::string(300, 'b')});
  expect_round_trip(std::vector<std::vector<std::vector<int>>>{{}, {{}}, {{1}, {2, 3}}});
  expect_round_trip(std::map<int, std::string>{});
  expect_round_trip(std::map<std::string, std::map<int, double>>{{"", {}}, {"b", {{-1, 0.5}, {2, 1.5}}}});
  expect_round_trip(std::optional<int>{});
  expect_round_trip(std::optional<std::optional<int>>{std::optional<int>{}});
  expect_round_trip(std::optional<std::vector<int>>{{1, 2}});
  expect_round_trip(std::tuple<int, std::string, std::tuple<bool>>{1, "two", {true}});
  expect_round_trip(std::variant<int, std::string, std::vector<int>>{"two"});
  expect_round_trip(std::vector<std::variant<bool, Point>>{true, Point{1, 2}, false});
  expect_round_trip(Nest{Nest::Items{Nest{1}, Nest{Nest::Items{}}}});
  expect_round_trip(Job{});
  expect_round_trip(kJob);
  expect_round_trip(std::vector<Job>(100, kJob));
  EXPECT_TRUE(std::isnan(decode<double>(encode(std::nan("")))));
  EXPECT_EQ(decode<std::string>(encode("literal")), "literal");
}

TEST(Codec, LargeVectorsComeBack) {
  std::vector<double> numbers(1'000'000);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<double>(i) / 3;
  const std::string bytes = encode(numbers);
  EXPECT_EQ(bytes.size(), numbers.size() * sizeof(double) + 6);  // one block, no tag an element
  EXPECT_EQ(decode<std::vector<double>>(bytes), numbers);
}

TEST(Codec, ValuesAreTakenOffOneByOne) {
  const std::string bytes = encode(1, "two", 3.0);
  Decoder decoder(bytes);
  EXPECT_EQ(decoder.get<int>(), 1);
  EXPECT_EQ(decoder.get<std::string>(), "two");
  EXPECT_THROW(decoder.finish(), MessageError);
  EXPECT_EQ(decoder.get<double>(), 3.0);
  decoder.finish();
}

TEST(Codec, OldContentsDoNotShine) {
  std::vector<int> items{1, 2, 3};
  std::map<int, int> pairs{{1, 1}};
  std::optional<int> perhaps = 1;
  const std::string bytes = encode(std::vector<int>{}, std::map<int, int>{}, std::optional<int>{});
  Decoder decoder(bytes);
  decoder.get(items);
  decoder.get(pairs);
  decoder.get(perhaps);
  EXPECT_TRUE(items.empty() && pairs.empty() && !perhaps);
}

TEST(Codec, EveryTruncationIsRefused) {
  const std::string bytes = encode(kJob);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    // From memory of just that size, so that the address sanitizer sees a step beyond.
    const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_NE(refusal<Job>({cut.data(), n}), "accepted") << n;
  }
}

TEST(Codec, EveryChangedByteIsRefusedOrIsAnotherValue) {
  const std::string bytes = encode(kJob);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int flip = 1; flip < 256; ++flip) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      const std::size_t before = allocated_bytes;
      try {
        const Job job = decode<Job>(changed);
        EXPECT_EQ(encode(job), changed) << at << " ^ " << flip;
      } catch (const MessageError&) {
      }
      EXPECT_LT(allocated_bytes - before, 50 * bytes.size()) << at << " ^ " << flip;
    }
  }
}

TEST(Codec, AnotherTypeIsRefused) {
  const std::string another = "message holds another type than was asked for";
  EXPECT_EQ(refusal<unsigned>(encode(1)), another);
  EXPECT_EQ(refusal<long>(encode(1)), another);
  EXPECT_EQ(refusal<float>(encode(1)), another);
  EXPECT_EQ(refusal<bool>(encode(std::uint8_t{1})), another);
  EXPECT_EQ(refusal<Colour>(encode(std::uint8_t{1})), another);
  EXPECT_EQ(refusal<std::uint8_t>(encode(Colour::green)), another);
  EXPECT_EQ(refusal<std::string>(encode(std::vector<char>{'a'})), another);
  EXPECT_EQ(refusal<std::vector<int>>(encode(std::vector<unsigned>{1})), another);
  EXPECT_EQ(refusal<std::vector<int>>(encode(std::map<int, int>{})), another);
  EXPECT_EQ(refusal<std::optional<int>>(encode(1)), another);
  EXPECT_EQ(refusal<std::tuple<int>>(encode(std::tuple(1, 2))), another);
  EXPECT_EQ(refusal<std::variant<int>>(encode(1)), another);
  EXPECT_EQ(refusal<std::variant<int>>(encode(std::variant<bool>{true})), another);
}

TEST(Codec, WhatIsLeftOverIsRefused) {
  EXPECT_EQ(refusal<int>(encode(1) + "x"), "message has 1 bytes too many");
  EXPECT_EQ(refusal<Job>(encode(kJob, 1)), "message has 5 bytes too many");
}

TEST(Codec, WhatNoEncoderWritesIsRefused) {
  EXPECT_EQ(refusal<bool>("\x41\x02"), "message holds a truth value that is neither");
  for (const char* index : {"\x02", "\xff"}) {
    using Either = std::variant<int, bool>;
    EXPECT_EQ(refusal<Either>("x" + (index + encode(1))), "message holds none of the types that were asked for");
  }
  using Pairs = std::map<int, int>;
  std::string bytes = encode(Pairs{{1, 1}, {2, 2}});
  ASSERT_EQ(bytes[16], 2);
  for (const char key : {'\1', '\0'}) {  // twice the same, or a lower one after it
    bytes[16] = key;
    EXPECT_EQ(refusal<Pairs>(bytes), "message holds keys out of order");
  }
}

TEST(Codec, DeepNestingIsRefusedBeforeTheStackEnds) {
  Tree tree;
  for (int i = 0; i < 50; ++i) tree = Tree{{tree}};
  EXPECT_EQ(encode(decode<Tree>(encode(tree))), encode(tree));
  std::string level = encode(Tree{{Tree{}}}), bytes;
  level.resize(level.size() / 2);  // what stands before the child
  for (int i = 0; i < 1'000'000; ++i) bytes += level;
  EXPECT_EQ(refusal<Tree>(bytes), "message is nested too deep");
  std::string nests;
  for (int i = 0; i < 1'000'000; ++i) nests += std::string("x\x01v\x01\0\0\0", 7);
  EXPECT_EQ(refusal<Nest>(nests), "message is nested too deep");
}

// A few bytes that claim four billion elements.
TEST(Codec, LengthsAreNotBelieved) {
  const auto cost = [](auto type, std::string bytes) {
    const std::size_t before = allocated_bytes;
    EXPECT_NE(refusal<decltype(type)>(bytes), "accepted");
    return allocated_bytes - before;
  };
  const std::string many = "\xff\xff\xff\xff";
  for (const std::string tail : {"", "\x24", "\x24\x01\x01\x01\x01"}) {
    EXPECT_LT(cost(std::string(), "s" + many + tail), 1000u);
    EXPECT_LT(cost(std::vector<int>(), "v" + many + tail), 1000u);
    EXPECT_LT(cost(std::vector<bool>(), "v" + many + tail), 1000u);
    EXPECT_LT(cost(std::vector<std::string>(), "v" + many + tail), 1000u);
    EXPECT_LT(cost(std::vector<std::vector<int>>(), "v" + many + "v" + many + tail), 1000u);
    EXPECT_LT(cost(std::map<int, int>(), "m" + many + tail), 1000u);
  }
  // The length fits the bytes, the elements do not: room is made as they prove to be there.
  const std::string fits = std::string("v\x00\x00\x10\x00", 5) + std::string(1 << 20, 'x');
  EXPECT_LT(cost(std::vector<Job>(), fits), 1000u);
  EXPECT_LT(cost(std::vector<std::vector<double>>(), fits), 1000u);
}

TEST(Codec, TheCorpusOfTheFuzzerIsHarmless) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CORPUS)) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<char> bytes(std::istreambuf_iterator<char>(in), {});
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++files;
  }
  EXPECT_GT(files, 10);
}

}  // namespace
