#include "base/topology.h"

#include <sched.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <climits>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "base/system_files.h"

namespace g4 {
namespace {

// What follows `name` and a colon on its line.
std::string field_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.rfind(name + ":", 0) == 0) return line.substr(name.size() + 1);
  return {};
}

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text) {
  constexpr int kMost = 1 << 16;  // more than any system numbers
  std::vector<int> numbers;
  std::istringstream in(text);
  for (int first = 0; in >> first && first >= 0 && first < kMost;) {
    int last = first;
    if (in.peek() == '-') {
      in.get();
      if (!(in >> last) || last >= kMost) break;
    }
    for (int i = first; i <= last; ++i) numbers.push_back(i);
    if (in.peek() != ',') break;
    in.get();
  }
  return numbers;
}

Topology read_topology(const std::string& root, const std::string& status) {
  Topology found;
  found.processors = parse_cpu_list(field_of(status, "Cpus_allowed_list"));
  if (found.processors.empty())
    for (int cpu = 0; cpu < static_cast<int>(std::thread::hardware_concurrency()); ++cpu)
      found.processors.push_back(cpu);
  std::set<std::pair<int64_t, int64_t>> seen;
  for (int cpu : found.processors) {
    const std::string topology = root + "/cpu/cpu" + std::to_string(cpu) + "/topology/";
    if (seen.emplace(number_in(topology + "physical_package_id").value_or(0),
                     number_in(topology + "core_id").value_or(cpu))
            .second)
      found.cores.push_back(cpu);
  }
  // A node without memory is allowed but gives none.
  std::ifstream file(root + "/node/has_memory");
  std::string with_memory;
  std::getline(file, with_memory);
  const std::vector<int> usable = parse_cpu_list(with_memory);
  const std::set<int> full(usable.begin(), usable.end());
  for (int node : parse_cpu_list(field_of(status, "Mems_allowed_list")))
    if (full.count(node)) found.nodes.push_back(node);
  return found;
}

bool run_on(std::span<const int> processors) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : processors)
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
#else
  (void)processors;
  return false;
#endif
}

bool interleave(std::span<std::byte> memory, std::span<const int> nodes) {
#if defined(__linux__) && defined(SYS_mbind)
  constexpr int kInterleave = 3;  // MPOL_INTERLEAVE of linux/mempolicy.h
  constexpr size_t kBits = sizeof(unsigned long) * CHAR_BIT;
  std::vector<unsigned long> mask;
  for (int node : nodes) {
    const auto at = static_cast<size_t>(node);
    if (mask.size() <= at / kBits) mask.resize(at / kBits + 1);
    mask[at / kBits] |= 1ul << (at % kBits);
  }
  // The system leaves the last bit of the count unread.
  return !mask.empty() &&
         ::syscall(SYS_mbind, memory.data(), memory.size(), kInterleave, mask.data(), mask.size() * kBits + 1, 0u) == 0;
#else
  (void)memory, (void)nodes;
  return false;
#endif
}

}  // namespace g4
