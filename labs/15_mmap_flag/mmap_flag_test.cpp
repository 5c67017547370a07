#include "mmap_flag.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include "common/kernels/test_instructions.hpp"
#include "common/machine/environment.hpp"
#include "counted_search.hpp"
#include "labs/12_verify_pool/verify.hpp"
#include "traps.hpp"

namespace {

using namespace lab;
using namespace lab::mmap_flag;

TEST(MappedByte, IsSeenByOthersWhateverIsBehindItUnlessPrivate) {
  for (const Backing& what : backing::all) {
    if (what.flags & MAP_HUGETLB && !has_huge_pages()) continue;
    MappedByte flag(what);
    EXPECT_FALSE(flag.raised()) << what.name;
    EXPECT_EQ(seen_by_others(flag), !(what.flags & MAP_PRIVATE)) << what.name;
  }
}

TEST(MappedByte, APollIsOnePlainLoad) {
  if (untimeable()) GTEST_SKIP() << "this build is not optimised as a release is";
  const auto executed = [](auto& flag) {
    return instructions([&] { return search(numbers::small_prime, {21, 2021}, 10, flag).candidates; });
  };
  NoFlag none;
  MappedByte flag;
  const long floor = executed(none);
  if (floor < 0) GTEST_SKIP() << "ptrace is not permitted here";
  EXPECT_LE(executed(flag) - floor, 100 * 5 + 20);
}

TEST(MmapFile, ReadsAndWritesFromItsPosition) {
  MmapFile file(Mapping::with(4096, MAP_SHARED | MAP_ANONYMOUS));
  file.write("abc");
  EXPECT_EQ(file.tell(), 3u);
  file.seek(1);
  EXPECT_EQ(file.read(2), "bc");
  EXPECT_EQ(file.read(0), "");
  file.seek(4090);
  EXPECT_EQ(file.read(100), std::string(6, '\0'));
  EXPECT_EQ(file.read(1), "");
  EXPECT_THROW(file.write("x"), std::out_of_range);
  EXPECT_THROW(file.seek(4097), std::out_of_range);
  file.seek(4095);
  EXPECT_THROW(file.write("xy"), std::out_of_range);
  EXPECT_EQ(file.tell(), 4095u) << "a write that does not fit writes nothing";
}

TEST(MmapFile, ThePositionIsEachProcesssOwnAndTheBytesAreShared) {
  MmapFile file(Mapping::with(4096, MAP_SHARED | MAP_ANONYMOUS));
  run_team({.size = 1}, [&](int) {
    file.write("from the child");
    return 0;
  });
  EXPECT_EQ(file.tell(), 0u);
  EXPECT_EQ(file.read(14), "from the child");
}

template <class F>
class AnyFlag : public testing::Test {};
using Flags = testing::Types<MappedByte, SeekAndRead, PreadFlag>;
TYPED_TEST_SUITE(AnyFlag, Flags);
TYPED_TEST(AnyFlag, IsRaisedByOneProcessAndLoweredByAnother) {
  TypeParam flag;
  EXPECT_FALSE(flag.raised());
  for (int i = 0; i < 2; ++i) {
    run_team({.size = 1}, [&](int) {
      flag.raise();
      return 0;
    });
    EXPECT_TRUE(flag.raised());
    flag.clear();
    EXPECT_FALSE(flag.raised());
  }
}
TYPED_TEST(AnyFlag, FindsFactorsAndPrimes) {
  TypeParam flag;
  for (const int workers : {1, 3}) {
    EXPECT_EQ(verify::find_factor({.n = numbers::small_non_prime_2, .workers = workers}, flag), 1715683u);
    EXPECT_EQ(verify::find_factor({.n = numbers::prime15, .workers = workers}, flag), 0u);
  }
}

TEST(CountedSearch, DoesWhatTheTwoLevelLoopDoes) {
  MappedByte one, two;
  for (const std::uint64_t every : {1, 7, 1000}) {
    for (const std::uint64_t n : {numbers::small_prime, std::uint64_t{101 * 103}}) {
      one.clear(), two.clear();
      const Searched counted = counted_search(n, {21, 10'000}, every, one), levels = search(n, {21, 10'000}, every, two);
      EXPECT_EQ(counted.factor, levels.factor);
      EXPECT_EQ(counted.candidates, levels.candidates);
      EXPECT_EQ(counted.polls, levels.polls);
      EXPECT_EQ(one.raised(), two.raised());
    }
  }
}

TEST(Truncation, KillsWhoLooksUnlessTheFileIsSealed) {
  EXPECT_EQ(after_truncation(false).substr(0, 8), "signal 7");
  EXPECT_EQ(after_truncation(true), "status 0");
}

TEST(NamelessFile, LeavesNoName) {
  const Descriptor file = nameless_file("/var/tmp", 10);
  struct stat status {};
  ASSERT_EQ(::fstat(file.get(), &status), 0);
  EXPECT_EQ(status.st_size, 10);
  EXPECT_EQ(status.st_nlink, 0u);
  EXPECT_THROW(nameless_file("/nowhere/at/all", 1), std::system_error);
}

}  // namespace
