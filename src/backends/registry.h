// Backends by name. One that is linked in or loaded at run time announces itself with a static BackendRegistration.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/backend.h"

namespace g4 {

struct BackendOptions {
  int n_threads = 0;  // 0: the physical cores this process may use
  // The dtype that the model rounds the operands of matrix products to; F32: products must be exact in float32.
  DType activations = DType::F32;
  bool repack = true;  // weights may be laid out anew for the kernels
};

using BackendFactory = std::unique_ptr<Backend> (*)(const BackendOptions&);
using DeviceProbe = DeviceInfo (*)();

struct BackendRegistration {
  // Higher priority wins device "auto"; negative is never chosen unasked.
  BackendRegistration(std::string name, int priority, BackendFactory create, DeviceProbe probe);
};

// Throws DeviceError: unknown name (listing the known ones) or a device that is not available (with its reason).
std::unique_ptr<Backend> create_backend(const std::string& name, const BackendOptions& options);

std::vector<DeviceInfo> list_devices();
// Of one device; one that is not available where there is none of that name.
DeviceInfo find_device(const std::string& name);

// Loads a backend's shared library, checks that it was built with this core, and returns the name it registered.
std::string load_backend_library(const std::string& path);

// Loads, once, the backends of this engine that are libraries of their own, from beside the core. One that was not
// built or cannot be loaded is a device that is not available, with the reason.
void load_installed_backends();

// Identifies the build; a loaded backend must carry the same.
const char* build_id();

}  // namespace g4

// Exported by every loadable backend.
#define G4_EXPORT_BACKEND(backend_name)                                                                          \
  extern "C" __attribute__((visibility("default"))) const char* g4_backend_build_id() { return G4CPP_BUILD_ID; } \
  extern "C" __attribute__((visibility("default"))) const char* g4_backend_name() { return backend_name; }
