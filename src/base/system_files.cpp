#include "base/system_files.h"

#include <fstream>

namespace g4 {

std::optional<int64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (!(file >> value) || value < 0) return std::nullopt;
  return value;
}

}  // namespace g4
