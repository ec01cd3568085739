// Which instruction sets the kernels were compiled for and which of them this processor runs.
#pragma once

#include "backends/backend.h"
#include "backends/cpu/kernel.h"

namespace g4 {

// The best set, or the one G4CPP_CPU_ISA names. Throws DeviceError when that is unknown or this processor lacks it.
CpuKernelSet select_kernel_set();

DeviceInfo probe_cpu();

}  // namespace g4
