// Open files that go to another process beside a few bytes.
#include "common/os/packet.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace lab {
namespace {

std::array<std::byte, 3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};

TEST(Packet, BringsBytesAndCopiesOfDescriptors) {
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  auto [reader, writer] = make_pipe();
  ASSERT_EQ(send_packet(ours.get(), bytes, std::array{writer.get(), writer.get()}), 3);
  writer.reset();
  std::array<std::byte, 3> came{};
  Packet packet = receive_packet(theirs.get(), came);
  EXPECT_EQ(packet.size, 3);
  EXPECT_EQ(came, bytes);
  ASSERT_EQ(packet.descriptors.size(), 2u);
  write_all(packet.descriptors[1].get(), bytes);
  packet = {};  // the last who have the pipe's writing end
  std::array<std::byte, 4> read{};
  EXPECT_EQ(read_full(reader.get(), read), 3u);
}

TEST(Packet, CarriesAsManyDescriptorsAsTheKernelTakes) {
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  EXPECT_EQ(send_packet(ours.get(), bytes, std::vector<int>(kMostPassed + 1, ours.get())), -1);
  EXPECT_EQ(send_packet(ours.get(), bytes, std::vector<int>(kMostPassed, ours.get())), 3);
  EXPECT_EQ(receive_packet(theirs.get(), bytes).descriptors.size(), kMostPassed);
}

TEST(Packet, SaysWhatDidNotFitAndWhatIsNotThere) {
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  ASSERT_EQ(send_packet(ours.get(), bytes, {}), 3);
  const Packet cut = receive_packet(theirs.get(), std::span(bytes).first(1));
  EXPECT_EQ(cut.size, 1);
  EXPECT_TRUE(cut.flags & MSG_TRUNC);
  EXPECT_EQ(receive_packet(theirs.get(), bytes).size, -1);
  EXPECT_EQ(errno, EAGAIN);
}

}  // namespace
}  // namespace lab
