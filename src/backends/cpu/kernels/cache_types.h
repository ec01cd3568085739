// Which types the caches of keys and values may have: activations', and Q8_0 where rows are whole blocks.
#pragma once

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static inline bool is_cache(const KernelTensor& t) {
  return is_activation(t.dtype) || (t.dtype == DType::Q8_0 && t.cols % t.block_size == 0);
}

}  // namespace g4::G4_ISA_NAMESPACE
