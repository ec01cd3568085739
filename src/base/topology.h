// The processors and memory nodes that this process may use. Sources: sched_getaffinity(2), mbind(2), the kernel's
// Documentation/ABI/stable/sysfs-devices-system-cpu and sysfs-devices-node. Where the
// system does not say, every hardware thread counts as a core.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace g4 {

struct Topology {
  std::vector<int> processors;  // hardware threads that this process may run on
  std::vector<int> cores;       // the first of them on each physical core
  std::vector<int> nodes;       // memory nodes that it may take memory from
};

// `root` and `status` are where the system describes its processors and this process.
Topology read_topology(const std::string& root = "/sys/devices/system",
                       const std::string& status = "/proc/thread-self/status");

// "0-2,5" as 0, 1, 2, 5; what is not such a list ends it.
std::vector<int> parse_cpu_list(const std::string& text);

// Keeps the calling thread on these processors. False where the system refuses.
bool run_on(std::span<const int> processors);

// Lets the pages of whole-page memory that nobody has touched come from these nodes in turn. False where the system
// refuses; one node needs none of it.
bool interleave(std::span<std::byte> memory, std::span<const int> nodes);

}  // namespace g4
