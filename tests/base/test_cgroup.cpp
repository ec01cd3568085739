// Limits of control groups, read from folders like those the kernel shows.
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/cgroup.h"
#include "check.h"
#include "gguf/temp_dir.h"

namespace g4 {
namespace {

class Groups {
 public:
  explicit Groups(const std::string& self) { write("self", self); }
  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = dir_.file(name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  CgroupLimits limits() const { return cgroup_limits(dir_.file("self"), dir_.file("root")); }

 private:
  test::TempDir dir_;
};

}  // namespace

TEST(nothing_there_limits_nothing) {
  const CgroupLimits limits = cgroup_limits("/nowhere/cgroup", "/nowhere");
  CHECK(std::isinf(limits.processors));
  CHECK_EQ(limits.memory_available, std::numeric_limits<int64_t>::max());
}

TEST(version_2) {
  Groups groups("0::/pod/box\n");
  groups.write("root/pod/box/cpu.max", "250000 100000\n");
  groups.write("root/pod/box/memory.max", "8000\n");
  groups.write("root/pod/box/memory.current", "3000\n");
  groups.write("root/pod/box/memory.stat", "anon 500\ninactive_file 2000\n");
  CHECK_EQ(groups.limits().processors, 2.5);
  CHECK_EQ(groups.limits().memory_available, 7000);
}

TEST(the_tightest_group_around_counts) {
  Groups groups("0::/pod/box\n");
  groups.write("root/pod/box/cpu.max", "max 100000\n");
  groups.write("root/pod/box/memory.max", "max\n");
  groups.write("root/pod/cpu.max", "150000 100000\n");
  groups.write("root/pod/memory.max", "5000\n");
  groups.write("root/cpu.max", "800000 100000\n");
  CHECK_EQ(groups.limits().processors, 1.5);
  CHECK_EQ(groups.limits().memory_available, 5000);
}

TEST(a_container_sees_its_own_group_as_the_root) {
  Groups groups("0::/docker/abc\n");
  groups.write("root/cpu.max", "400000 100000\n");
  CHECK_EQ(groups.limits().processors, 4.0);
}

TEST(version_1) {
  Groups groups("11:memory:/box\n4:cpu,cpuacct:/box\n3:cpuset:/\n");
  groups.write("root/cpu/box/cpu.cfs_quota_us", "300000\n");
  groups.write("root/cpu/box/cpu.cfs_period_us", "100000\n");
  groups.write("root/cpu/cpu.cfs_quota_us", "-1\n");
  groups.write("root/cpu/cpu.cfs_period_us", "100000\n");
  groups.write("root/memory/box/memory.limit_in_bytes", "9000\n");
  groups.write("root/memory/box/memory.usage_in_bytes", "10000\n");
  CHECK_EQ(groups.limits().processors, 3.0);
  CHECK_EQ(groups.limits().memory_available, 0);
}

TEST(nonsense_limits_nothing) {
  Groups groups("garbage\n0:\n:::\n0::/box\n");
  groups.write("root/box/cpu.max", "fast please\n");
  groups.write("root/box/memory.max", "\n");
  CHECK(std::isinf(groups.limits().processors));
  CHECK_EQ(groups.limits().memory_available, std::numeric_limits<int64_t>::max());
}

}  // namespace g4

G4_TEST_MAIN
