// Which CUDA device there is, or why there is none. Never throws.
#pragma once

#include "backends/backend.h"

namespace g4::cuda {

DeviceInfo probe_device();

}  // namespace g4::cuda
