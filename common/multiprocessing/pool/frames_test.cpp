// Frames, whatever pieces they arrive in and whoever sent them; and who may begin a chunk.
#include "frames.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "task.hpp"
#include "worker.hpp"

namespace lab::pool {
namespace {

std::string frame(std::string_view body) {
  std::string out;
  const std::size_t at = open_frame(out);
  out += body;
  close_frame(out, at);
  return out;
}
void send(const Descriptor& to, std::string_view bytes) { write_all(to.get(), std::as_bytes(std::span(bytes))); }

TEST(Inbox, GivesFramesHoweverTheyAreCut) {
  const std::string all = frame("first") + frame("") + frame("third");
  for (std::size_t cut = 1; cut < all.size(); ++cut) {
    auto [reader, writer] = make_pipe();
    Inbox inbox;
    std::vector<std::string> got;
    for (const std::string_view part : {std::string_view(all).substr(0, cut), std::string_view(all).substr(cut)}) {
      send(writer, part);
      ASSERT_EQ(inbox.fill(reader.get()), Inbox::Got::bytes);
      while (const auto body = inbox.next()) got.emplace_back(*body);
    }
    EXPECT_EQ(got, (std::vector<std::string>{"first", "", "third"})) << cut;
    writer.reset();
    EXPECT_EQ(inbox.fill(reader.get()), Inbox::Got::end);
  }
}

TEST(Inbox, ANonBlockingReaderWithNothingToReadGoesOn) {
  auto [reader, writer] = make_pipe();
  ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  EXPECT_EQ(Inbox().fill(reader.get()), Inbox::Got::nothing);
}

TEST(Inbox, RefusesALengthBeyondTheLimitBeforeItAllocates) {
  auto [reader, writer] = make_pipe();
  send(writer, "\xff\xff\xff\xff and so on");
  Inbox inbox;
  inbox.fill(reader.get());
  EXPECT_THROW(inbox.next(), Garbled);
}

TEST(Replies, HostileBytesAreRefusedWithASentence) {
  EXPECT_THROW(parse_reply(""), MessageError);
  EXPECT_THROW(parse_reply("short"), MessageError);
  EXPECT_THROW(parse_reply(encode(std::uint64_t{1}) + "?"), MessageError);
  EXPECT_THROW(parse_reply(encode(std::int32_t{1}) + "vvvvvvvv"), MessageError);
  EXPECT_THROW(decode_error(encode("no such type", "text", "from")), MessageError);
  std::mt19937 random(1);
  for (int i = 0; i < 100'000; ++i) {
    std::string bytes = i % 2 ? encode_error(std::runtime_error("text"), "from") : encode(std::uint64_t{7}) + "vxyz";
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % (bytes.size() + 1));
    try {
      i % 2 ? static_cast<void>(decode_error(bytes)) : static_cast<void>(parse_reply(bytes));
    } catch (const MessageError& error) {
      EXPECT_STRNE(error.what(), "");
    }
  }
}

TEST(Begun, AChunkIsBegunOrTakenBackNeverBoth) {
  Begun begun;
  std::atomic<std::uint64_t> offered{0};
  constexpr std::uint64_t kChunks = 20'000;
  std::uint64_t worked = 0, taken = 0;
  std::atomic<std::uint64_t> passed{0};
  std::jthread worker([&] {
    for (std::uint64_t number = 1; number <= kChunks; ++number) {
      while (offered.load() < number) {
        std::this_thread::yield();
      }
      worked += begun.begin(number);
      passed = number;
    }
  });
  for (std::uint64_t number = 1; number <= kChunks; ++number) {
    begun.offer(number);
    offered = number;
    taken += begun.take_back(number);
    while (passed.load() < number) std::this_thread::yield();
  }
  worker.join();
  EXPECT_EQ(worked + taken, kChunks);
  begun.offer(40);
  EXPECT_FALSE(begun.begin(8));  // an old frame in the same place
  EXPECT_TRUE(begun.begin(40));
  EXPECT_FALSE(begun.take_back(40));
}

}  // namespace
}  // namespace lab::pool
