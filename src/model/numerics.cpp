#include "model/numerics.h"

#include "base/error.h"

namespace g4 {

ComputeMode parse_compute_mode(const std::string& text) {
  if (text == "auto" || text == "bf16") return ComputeMode::BF16;
  if (text == "f32") return ComputeMode::F32;
  if (text == "f16") return ComputeMode::F16;
  fail<ArgumentError>("compute", "unknown compute mode '", text, "'; there are auto, bf16, f32, f16");
}

const char* name(ComputeMode mode) {
  switch (mode) {
    case ComputeMode::F32:
      return "f32";
    case ComputeMode::F16:
      return "f16";
    case ComputeMode::BF16:
      break;
  }
  return "bf16";
}

}  // namespace g4
