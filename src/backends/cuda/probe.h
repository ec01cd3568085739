// Small kernels that measure: how fast memory is read, and a wait.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "backends/cuda/context.h"

namespace g4::cuda {

// Bytes a second over about 2 GiB, or half of what is free: the median of several readings.
double measure_read_speed(const std::shared_ptr<Context>& context);

// Keeps the stream busy.
void delay(double seconds, cudaStream_t stream);

// Whether this library holds code for the current device.
bool has_code_for_device();

}  // namespace g4::cuda
