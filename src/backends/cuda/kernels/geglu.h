// geglu whose result is held to bounds before it is rounded.
#pragma once

#include "backends/cuda/kernel.h"

namespace g4::cuda {

void launch_bounded_geglu(const Call& call, float low, float high);

}  // namespace g4::cuda
