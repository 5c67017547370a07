#include "common/machine/quota.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace {

namespace fs = std::filesystem;

// A root folder with what the kernel would show of control groups.
class Quota : public testing::Test {
 protected:
  Quota() {
    std::string pattern = (fs::temp_directory_path() / "quota-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr)
      throw fs::filesystem_error("mkdtemp", std::error_code(errno, std::generic_category()));
    root = pattern;
  }
  ~Quota() override { fs::remove_all(root); }

  void write(const fs::path& file, const std::string& text) {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  }
  void version2(const std::string& group, const std::string& mount_root = "/") {
    write("proc/self/mountinfo",
          "22 1 0:20 / /proc rw - proc proc rw\n"
          "31 23 0:26 " +
              mount_root + " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
    write("proc/self/cgroup", "0::" + group + "\n");
  }
  void version1(const std::string& group, const std::string& mount_root = "/") {
    write("proc/self/mountinfo",
          "30 23 0:25 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n"
          "31 23 0:26 " +
              mount_root + " /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n");
    write("proc/self/cgroup", "5:memory:/elsewhere\n4:cpu,cpuacct:" + group + "\n");
  }
  void version1_limit(const std::string& group, const std::string& quota, const std::string& period = "100000") {
    write("sys/fs/cgroup/cpu,cpuacct/" + group + "/cpu.cfs_quota_us", quota + "\n");
    write("sys/fs/cgroup/cpu,cpuacct/" + group + "/cpu.cfs_period_us", period + "\n");
  }
  std::optional<double> quota() const { return lab::cpu_quota(root); }

  fs::path root;
};

TEST_F(Quota, NothingThere) {
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(Quota, Version2) {
  version2("/work/job");
  EXPECT_EQ(quota(), std::nullopt) << "no file, no limit";
  write("sys/fs/cgroup/work/job/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
}

TEST_F(Quota, Version2TakesTheSmallestOfAllParents) {
  version2("/work/job/leaf");
  write("sys/fs/cgroup/work/job/leaf/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("sys/fs/cgroup/work/cpu.max", "300000 100000\n");
  EXPECT_EQ(quota(), 3);
  write("sys/fs/cgroup/work/job/cpu.max", "100000 200000\n");
  EXPECT_EQ(quota(), 0.5);
  write("sys/fs/cgroup/cpu.max", "10000 100000\n");
  EXPECT_EQ(quota(), 0.1) << "the top of the mount counts too";
  write("sys/fs/cgroup/work/other/cpu.max", "1000 100000\n");
  EXPECT_EQ(quota(), 0.1) << "somebody else's group does not";
}

TEST_F(Quota, Version2InAContainer) {
  version2("/docker/abc/inner", "/docker/abc");
  write("sys/fs/cgroup/inner/cpu.max", "400000 100000\n");
  write("sys/fs/cgroup/cpu.max", "250000 100000\n");
  EXPECT_EQ(quota(), 2.5);
  version2("/../outside", "/");
  EXPECT_EQ(quota(), 2.5) << "a group that cannot be seen: the mount's own limit is known";
}

TEST_F(Quota, MalformedIsNoLimit) {
  version2("/job");
  for (const char* text : {"", "\n", "max", "max 100000", "100000", "abc 100000", "100000 abc", "-1 100000", "100000 0",
                           "0 100000", "99999999999999999999999 100000", "\0\1\2"}) {
    write("sys/fs/cgroup/job/cpu.max", text);
    EXPECT_EQ(quota(), std::nullopt) << text;
  }
  write("sys/fs/cgroup/job/cpu.max", "100000 100000");
  write("proc/self/cgroup", "garbage\n::\n0:\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("proc/self/cgroup", "0::/job\n");
  write("proc/self/mountinfo", "garbage\n - \n1 2 3 - cgroup2\n");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(Quota, Version1) {
  version1("/work/job");
  version1_limit("work/job", "-1");
  EXPECT_EQ(quota(), std::nullopt);
  version1_limit("work/job", "350000");
  EXPECT_EQ(quota(), 3.5);
  version1_limit("work", "200000", "50000");
  EXPECT_EQ(quota(), 3.5);
  version1_limit("", "20000", "10000");
  EXPECT_EQ(quota(), 2);
  version1_limit("work/job", "50000", "0");
  EXPECT_EQ(quota(), 2) << "half a limit is none";
}

TEST_F(Quota, Version1InAContainer) {
  version1("/docker/abc", "/docker/abc");
  version1_limit("", "120000");
  EXPECT_EQ(quota(), 1.2);
}

TEST_F(Quota, BothVersionsMounted) {
  write("proc/self/mountinfo",
        "31 1 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "32 1 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  write("proc/self/cgroup", "1:cpu:/\n0::/a\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 4);
  write("sys/fs/cgroup/unified/a/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST(QuotaHere, IsPositiveOrNone) {
  EXPECT_GT(lab::cpu_quota().value_or(1), 0);
}

}  // namespace
