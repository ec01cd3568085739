#include "backends/cuda/device.h"

#include <cuda_runtime.h>

#include "backends/cuda/probe.h"

namespace g4::cuda {
namespace {

std::string version_text(int version) { return concat(version / 1000, ".", version % 1000 / 10); }

// The runtime calls a missing driver too old as well; only the driver's own version tells them apart.
std::string reason_of(cudaError_t error) {
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "no NVIDIA driver (libcuda.so.1) found";
  if (error == cudaErrorNoDevice) return "the NVIDIA driver finds no device";
  if (error == cudaErrorInsufficientDriver)
    return concat("the NVIDIA driver is too old: it runs CUDA ", version_text(driver), ", this library needs ",
                  version_text(runtime));
  return concat(cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
}

}  // namespace

DeviceInfo probe_device() {
  DeviceInfo info;
  info.name = "cuda";
  info.available = false;
  const auto unavailable = [&](cudaError_t error) {
    (void)cudaGetLastError();
    info.reason = reason_of(error);
    return info;
  };
  int devices = 0, device = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&devices); error != cudaSuccess) return unavailable(error);
  if (devices == 0) return unavailable(cudaErrorNoDevice);
  cudaDeviceProp properties;
  size_t available = 0, total = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, device);
  if (error == cudaSuccess) error = cudaMemGetInfo(&available, &total);
  if (error != cudaSuccess) return unavailable(error);
  const std::string architecture = concat(properties.major, ".", properties.minor);
  info.description = concat(properties.name, ", compute capability ", architecture, ", ",
                            properties.multiProcessorCount, " multiprocessors");
  info.memory_total = static_cast<int64_t>(total);
  info.memory_available = static_cast<int64_t>(available);
  info.available = has_code_for_device();
  if (!info.available) info.reason = concat("this library has no code for compute capability ", architecture);
  return info;
}

}  // namespace g4::cuda
