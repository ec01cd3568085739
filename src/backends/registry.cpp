#include "backends/registry.h"

#include <algorithm>
#include <mutex>

#include "base/dynamic_library.h"

namespace g4 {
namespace {

struct Entry {
  std::string name;
  int priority;
  BackendFactory create;
  DeviceProbe probe;
};

std::mutex mutex;

std::vector<Entry>& entries() {
  static std::vector<Entry> all;
  return all;
}

std::vector<Entry> snapshot() {
  std::lock_guard lock(mutex);
  return entries();
}

}  // namespace

BackendRegistration::BackendRegistration(std::string name, int priority, BackendFactory create, DeviceProbe probe) {
  std::lock_guard lock(mutex);
  entries().push_back({std::move(name), priority, create, probe});
  std::stable_sort(entries().begin(), entries().end(),
                   [](const Entry& a, const Entry& b) { return a.priority > b.priority; });
}

std::unique_ptr<Backend> create_backend(const std::string& name, const BackendOptions& options) {
  std::string known;
  for (const Entry& entry : snapshot()) {
    if (!known.empty()) known += ", ";
    known += entry.name;
    const bool automatic = name == "auto" && entry.priority >= 0;
    if (!automatic && entry.name != name) continue;
    const DeviceInfo device = entry.probe();
    if (device.available) return entry.create(options);
    if (!automatic) fail<DeviceError>("device", name, " is not available: ", device.reason);
  }
  fail<DeviceError>("device", "no device '", name, "'; there are: auto, ", known);
}

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> devices;
  for (const Entry& entry : snapshot()) devices.push_back(entry.probe());
  return devices;
}

std::string load_backend_library(const std::string& path) {
  const DynamicLibrary library(path);
  using Text = const char* (*)();
  const std::string id = reinterpret_cast<Text>(library.symbol("g4_backend_build_id"))();
  if (id != build_id()) fail<DeviceError>("backend", path, ": built with core ", id, ", this core is ", build_id());
  return reinterpret_cast<Text>(library.symbol("g4_backend_name"))();
}

const char* build_id() { return G4CPP_BUILD_ID; }

}  // namespace g4
