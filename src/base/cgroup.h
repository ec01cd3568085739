// What a container leaves this process: the limits of its Linux control group and of the groups around it, versions 1
// and 2. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace g4 {

struct CgroupLimits {
  double processors = std::numeric_limits<double>::infinity();     // of processor time a second
  int64_t memory_available = std::numeric_limits<int64_t>::max();  // bytes; file pages not in use count as such
};

// `self` lists the process's groups, `root` is where their files lie. What cannot be read limits nothing.
CgroupLimits cgroup_limits(const std::string& self = "/proc/self/cgroup", const std::string& root = "/sys/fs/cgroup");

}  // namespace g4
