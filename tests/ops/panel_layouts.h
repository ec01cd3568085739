// Which matrices a backend keeps in panels: without this check, cases that mean panels could silently test rows.
#pragma once

#include <string>

#include "backends/backend.h"
#include "tensor/dtype.h"

namespace g4::test {

inline constexpr DType kPanelFormats[] = {DType::BF16, DType::Q8_0,   DType::Q4_0,   DType::Q4_1, DType::Q5_0,
                                          DType::Q5_1, DType::Q2_K,   DType::Q3_K,   DType::Q4_K, DType::Q5_K,
                                          DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS, DType::MXFP4};

// Whether this is the cpu under an instruction set whose kernels multiply panels.
bool has_panels(const Backend& backend);
// Empty, or what is wrong with the layouts that the cpu backend chooses under this instruction set.
std::string wrong_cpu_layouts();

}  // namespace g4::test
