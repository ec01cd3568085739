#include "base/dynamic_library.h"

#include <dlfcn.h>

#include "base/error.h"

namespace g4 {

std::string library_folder() {
  Dl_info found{};
  if (!::dladdr(reinterpret_cast<const void*>(&library_folder), &found) || !found.dli_fname) return ".";
  const std::string path = found.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

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
