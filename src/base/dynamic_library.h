// A shared library loaded at run time; stays loaded until the process ends, because what it registered does.
#pragma once

#include <string>

namespace g4 {

// The folder of the library (or program) that this code is linked into.
std::string library_folder();

class DynamicLibrary {
 public:
  // Throws DeviceError with the loader's reason.
  explicit DynamicLibrary(const std::string& path);
  // The address of an exported symbol; throws DeviceError when the library has none of that name.
  void* symbol(const char* name) const;

 private:
  std::string path_;
  void* handle_ = nullptr;
};

}  // namespace g4
