#include "base/cgroup.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/system_files.h"

namespace g4 {
namespace {

std::optional<int64_t> field_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    int64_t value = 0;
    if (words >> key >> value && key == name) return value;
  }
  return std::nullopt;
}

void limit_processors(CgroupLimits& limits, std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (quota && period && *quota > 0 && *period > 0)
    limits.processors = std::min(limits.processors, static_cast<double>(*quota) / static_cast<double>(*period));
}

void limit_memory(CgroupLimits& limits, std::optional<int64_t> limit, std::optional<int64_t> used,
                  std::optional<int64_t> unused_files) {
  if (!limit) return;
  const int64_t held = std::max<int64_t>(0, used.value_or(0) - unused_files.value_or(0));
  limits.memory_available = std::min(limits.memory_available, std::max<int64_t>(0, *limit - held));
}

void read_unified(const std::string& folder, CgroupLimits& limits) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  int64_t period = 0;
  if (file >> quota >> period && quota != "max") limit_processors(limits, number_in(folder + "/cpu.max"), period);
  limit_memory(limits, number_in(folder + "/memory.max"), number_in(folder + "/memory.current"),
               field_of(folder + "/memory.stat", "inactive_file"));
}

void read_processors(const std::string& folder, CgroupLimits& limits) {
  limit_processors(limits, number_in(folder + "/cpu.cfs_quota_us"), number_in(folder + "/cpu.cfs_period_us"));
}

void read_memory(const std::string& folder, CgroupLimits& limits) {
  limit_memory(limits, number_in(folder + "/memory.limit_in_bytes"), number_in(folder + "/memory.usage_in_bytes"),
               field_of(folder + "/memory.stat", "total_inactive_file"));
}

// The group's folder and those around it, up to the hierarchy's root. A container may see its own group as that root
// while its path tells another: then the inner folders are not there.
void read_upwards(const std::string& root, std::string path, void (*read)(const std::string&, CgroupLimits&),
                  CgroupLimits& limits) {
  while (path.size() > 1) {
    read(root + path, limits);
    path.resize(path.rfind('/'));
  }
  read(root, limits);
}

bool names(const std::string& controllers, const std::string& one) {
  return ("," + controllers + ",").find("," + one + ",") != std::string::npos;
}

}  // namespace

CgroupLimits cgroup_limits(const std::string& self, const std::string& root) {
  CgroupLimits limits;
  std::ifstream groups(self);
  for (std::string line; std::getline(groups, line);) {  // number:controllers:/path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos || line[second + 1] != '/') continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) read_upwards(root, path, read_unified, limits);
    if (names(controllers, "cpu")) read_upwards(root + "/cpu", path, read_processors, limits);
    if (names(controllers, "memory")) read_upwards(root + "/memory", path, read_memory, limits);
  }
  return limits;
}

}  // namespace g4
