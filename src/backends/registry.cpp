#include "backends/registry.h"

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "base/dynamic_library.h"

namespace g4 {
namespace {

struct Entry {
  std::string name;
  int priority;
  BackendFactory create;
  DeviceProbe probe;
  std::string reason;  // of one that could not be loaded, which has no functions

  DeviceInfo device() const {
    if (probe) return probe();
    DeviceInfo info;
    info.name = name;
    info.available = false;
    info.reason = reason;
    return info;
  }
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

void add(Entry entry) {
  std::lock_guard lock(mutex);
  entries().push_back(std::move(entry));
  std::stable_sort(entries().begin(), entries().end(),
                   [](const Entry& a, const Entry& b) { return a.priority > b.priority; });
}

void load_or_explain(const std::string& name, const std::string& path, const char* how_to_build) {
  std::error_code ignored;
  try {
    if (!std::filesystem::exists(path, ignored))
      return add({name, -1, nullptr, nullptr, concat("not built: ", how_to_build)});
    load_backend_library(path);
  } catch (const Error& error) {
    {
      std::lock_guard lock(mutex);  // it may have registered before it was found to be another build's
      std::erase_if(entries(), [&](const Entry& entry) { return entry.name == name; });
    }
    add({name, -1, nullptr, nullptr, error.what()});
  }
}

}  // namespace

BackendRegistration::BackendRegistration(std::string name, int priority, BackendFactory create, DeviceProbe probe) {
  add({std::move(name), priority, create, probe, ""});
}

std::unique_ptr<Backend> create_backend(const std::string& name, const BackendOptions& options) {
  std::string known;
  for (const Entry& entry : snapshot()) {
    if (!known.empty()) known += ", ";
    known += entry.name;
    const bool automatic = name == "auto" && entry.priority >= 0;
    if (!automatic && entry.name != name) continue;
    const DeviceInfo device = entry.device();
    if (device.available) return entry.create(options);
    if (!automatic) fail<DeviceError>("device", name, " is not available: ", device.reason);
  }
  fail<DeviceError>("device", "no device '", name, "'; there are: auto, ", known);
}

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> devices;
  for (const Entry& entry : snapshot()) devices.push_back(entry.device());
  return devices;
}

DeviceInfo find_device(const std::string& name) {
  for (const Entry& entry : snapshot())
    if (entry.name == name) return entry.device();
  DeviceInfo info;
  info.name = name;
  info.available = false;
  info.reason = "unknown";
  return info;
}

std::string load_backend_library(const std::string& path) {
  const DynamicLibrary library(path);
  using Text = const char* (*)();
  const std::string id = reinterpret_cast<Text>(library.symbol("g4_backend_build_id"))();
  if (id != build_id()) fail<DeviceError>("backend", path, ": built with core ", id, ", this core is ", build_id());
  return reinterpret_cast<Text>(library.symbol("g4_backend_name"))();
}

void load_installed_backends() {
  static std::once_flag once;
  std::call_once(once, [] {
    load_or_explain("cuda", library_folder() + "/libg4cuda.so",
                    "pip install . -C cmake.define.G4CPP_CUDA=ON builds it where the CUDA toolkit is");
  });
}

const char* build_id() { return G4CPP_BUILD_ID; }

}  // namespace g4
