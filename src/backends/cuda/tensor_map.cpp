#include "backends/cuda/tensor_map.h"

#include "backends/cuda/launch.h"

namespace g4::cuda {
namespace {

// The driver's function, found without linking to the driver.
decltype(&cuTensorMapEncodeTiled) encoder() {
  static const auto function = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result),
          "looking up cuTensorMapEncodeTiled");
    if (!found) fail<DeviceError>("cuda", "the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
  }();
  return function;
}

}  // namespace

CUtensorMap tensor_map(const std::byte* data, DType dtype, const int64_t (&sizes)[3], const int64_t (&strides)[2],
                       const int (&box)[3]) {
  CUtensorMap map;
  cuuint64_t size[3], stride[2];
  cuuint32_t boxes[3];
  const cuuint32_t steps[3] = {1, 1, 1};
  for (int i = 0; i < 3; ++i) size[i] = static_cast<cuuint64_t>(sizes[i]), boxes[i] = static_cast<cuuint32_t>(box[i]);
  for (int i = 0; i < 2; ++i) stride[i] = static_cast<cuuint64_t>(strides[i]);
  const CUresult result =
      encoder()(&map, dtype == DType::F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3,
                const_cast<std::byte*>(data), size, stride, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    fail<DeviceError>("cuda", "a tensor map of [", sizes[2], ", ", sizes[1], ", ", sizes[0], "] was refused: error ",
                      static_cast<int>(result));
  return map;
}

}  // namespace g4::cuda
