// Both ends of a manager's socket against hostile bytes.
#include "common/multiprocessing/manager/hostile.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "common/os/test_allocations.hpp"
#include "common/os/test_corpus.hpp"

namespace lab::manager {
namespace {

using std::string_literals::operator""s;

TEST(Hostile, TheFuzzersCorpusIsAnsweredOrRefused) {
  const auto inputs = read_corpus(READERS_CORPUS);
  EXPECT_GT(inputs.size(), 20u);
  for (const std::string& input : inputs) EXPECT_NO_THROW(read_hostile_bytes(input));
}

// As reader 2 takes it.
std::string request(std::uint64_t object, Method method, Items arguments, std::vector<std::uint64_t> released = {}) {
  const std::string body = encode(
      Request{.object = object, .method = method, .arguments = std::move(arguments), .released = std::move(released)});
  return std::string{static_cast<char>(body.size() % 256), static_cast<char>(body.size() / 256)} + body;
}

TEST(Hostile, ValidMessagesCutAndChangedAnywhere) {
  const std::string list = "\2"s + request(3, Method::append, {Items{1, Token(4, Type::dict)}}) +
                           request(3, Method::pop, {-1}),
                    waits = "\2"s + request(5, Method::acquire, {0.0}) + request(5, Method::acquire, {None{}}) +
                            request(6, Method::get, {None{}}),
                    dict = "\2"s + request(4, Method::set, {"k", Entries{{"x", true}}}, {1, 2, 2, 99}) +
                           request(4, Method::get, {"k"}),
                    reply = "\3"s + encode(Reply{.error = ErrorType::key, .sentence = "no", .result = Items{0.5, "x"}});
  for (const std::string& whole : {list, waits, dict, reply, "\0\x40\0\0\0"s + std::string(64, 'd'),
                                   "\1\x2b\0\0\0#CHALLENGE#"s + std::string(32, 'c')}) {
    for (std::size_t at = 0; at <= whole.size(); ++at) EXPECT_NO_THROW(read_hostile_bytes(whole.substr(0, at)));
    for (std::size_t at = 1; at < whole.size(); ++at) {
      for (const char c : {'\0', '\1', '\x7f', '\x80', '\xff'}) {
        std::string changed = whole;
        changed[at] = c;
        EXPECT_NO_THROW(read_hostile_bytes(changed));
      }
    }
  }
}

TEST(Hostile, EveryTypeIsAskedForEverything) {
  for (std::uint64_t object = 0; object < 8; ++object) {
    for (int method = 0; method < 20; ++method) {
      std::string all = "\2";
      for (const Items& arguments : {Items{}, Items{0.0}, Items{0, 0}, Items{"k", 1},
                                     Items{Token(object, Type::list), Token(object, Type::list)},
                                     Items{1'000'000'000'000, None{}}, Items{std::nan(""), std::nan("")}})
        all += request(object, Method(method), arguments, {object});
      EXPECT_NO_THROW(read_hostile_bytes(all));
    }
  }
}

TEST(Hostile, ABytesClaimCostsNoMemory) {
  const std::size_t before = allocated_bytes;
  read_hostile_bytes("\0\xff\0\0\0"s);
  read_hostile_bytes("\3x\6v\xff\xff\xff\xff"s);
  EXPECT_LT(allocated_bytes - before, 2u << 20);
}

}  // namespace
}  // namespace lab::manager
