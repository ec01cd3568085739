// A few operations on the device against the host, at first use: a driver or compiler that miscomputes becomes an
// error.
#pragma once

#include "backends/backend.h"

namespace g4::cuda {

// Throws DeviceError.
void self_test(Backend& backend);

}  // namespace g4::cuda
