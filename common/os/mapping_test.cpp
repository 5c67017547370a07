#include "common/os/mapping.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "common/os/test_child.hpp"

namespace {

using namespace lab;

TEST(Mapping, ParentSeesWhatAChildWrites) {
  const Shared<std::atomic<int>> number(1);
  const SharedArray<std::uint64_t> numbers(10'000);
  EXPECT_EQ(numbers.size(), 10'000u);
  for (const std::uint64_t& each : numbers) ASSERT_EQ(each, 0u);
  EXPECT_EQ(end_of(start_child([&] {
              number->fetch_add(41);
              for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = i * i;
            })),
            "status 0");
  EXPECT_EQ(*number, 42);
  for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], i * i);
}

TEST(Mapping, IsUnmappedOnceAndCanBeMoved) {
  std::byte* where = nullptr;
  unsigned char resident = 0;
  {
    Mapping first = Mapping::anonymous(100), second = std::move(first);
    EXPECT_EQ(first.data(), nullptr);
    EXPECT_EQ(second.size(), 100u);
    where = second.data();
    where[99] = std::byte{1};
    second = Mapping::anonymous(1);
    EXPECT_NE(second.data(), where);
    where = second.data();
    EXPECT_EQ(::mincore(where, 1, &resident), 0);
  }
  EXPECT_EQ(::mincore(where, 1, &resident), -1);
}

TEST(Mapping, AnObjectThatThrowsLeavesNoMapping) {
  struct Throws {
    Throws() { throw std::runtime_error("no"); }
    std::array<char, 1 << 20> bytes;
  };
  const auto mappings = [] {
    std::ifstream maps("/proc/self/maps");
    return std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
  };
  const auto before = mappings();
  for (int i = 0; i < 100; ++i) EXPECT_THROW(Shared<Throws>(), std::runtime_error);
  EXPECT_LT(mappings(), before + 50);  // the heap's own mappings come and go
}

TEST(Memfd, IsSharedThroughItsDescriptor) {
  const Descriptor file = make_memfd("numbers", 5000);
  const Mapping here = Mapping::of(file);
  ASSERT_EQ(here.size(), 5000u);
  EXPECT_EQ(here.data()[4999], std::byte{0});
  EXPECT_EQ(end_of(start_child([&] { Mapping::of(file).data()[4999] = std::byte{7}; })), "status 0");
  EXPECT_EQ(here.data()[4999], std::byte{7});
}

TEST(Memfd, CannotBeResizedByAnyone) {
  const Descriptor file = make_memfd("sealed", 5000);
  for (const off_t size : {0, 4999, 5001}) {
    EXPECT_EQ(::ftruncate(file.get(), size), -1);
    EXPECT_EQ(errno, EPERM);
  }
  EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);  // nor can a peer lock the others out
}

TEST(Memfd, LeavesNoNameInTheFileSystem) {
  const Descriptor file = make_memfd("nameless", 4096);
  const Mapping mapping = Mapping::of(file);
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    EXPECT_EQ(entry.path().string().find("nameless"), std::string::npos);
  }
  EXPECT_EQ(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(file.get())), "/memfd:nameless (deleted)");
  EXPECT_TRUE(::fcntl(file.get(), F_GETFD) & FD_CLOEXEC);
}

TEST(Memfd, ErrorsAreSentences) {
  EXPECT_THROW(make_memfd("empty", 0), std::system_error);
  EXPECT_THROW(Mapping::of(Descriptor(::memfd_create("empty", MFD_CLOEXEC))), std::invalid_argument);
  EXPECT_THROW(Mapping::anonymous(SIZE_MAX / 2), std::system_error);
  EXPECT_EQ(end_of(start_child([] {
              const rlimit small{4096, 4096};
              ::setrlimit(RLIMIT_FSIZE, &small);
              std::signal(SIGXFSZ, SIG_IGN);
              try {
                make_memfd("large", 4097);
              } catch (const std::system_error& error) {
                if (std::string(error.what()) == "cannot reserve 4097 bytes of shared memory: File too large") return;
              }
              throw std::runtime_error("another error or none");
            })),
            "status 0");
}

}  // namespace
