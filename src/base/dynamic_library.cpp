#include "base/dynamic_library.h"

#include <dlfcn.h>

#include "base/error.h"

namespace g4 {

DynamicLibrary::DynamicLibrary(const std::string& path) : path_(path) {
  handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle_) fail<DeviceError>("backend", ::dlerror());
}

void* DynamicLibrary::symbol(const char* name) const {
  void* address = ::dlsym(handle_, name);
  if (!address) fail<DeviceError>("backend", path_, ": exports no ", name, "; not a g4cpp backend");
  return address;
}

}  // namespace g4
