// What an engine is asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace g4 {

struct EngineOptions {
  std::string device = "auto";
  std::string compute = "auto";
  int64_t n_ctx = 0;              // 0: the trained context, or what memory allows
  int n_threads = 0;              // 0: the physical cores
  int64_t micro_batch = 0;        // 0: what suits the device
  std::string kv_dtype = "auto";  // auto: the compute mode's; f32, f16, bf16, q8_0
  bool kv_shared_skip = true;
  bool repack = true;          // false: matrices stay as the file has them, mapped
  int64_t max_media_span = 0;  // the most soft tokens of one image, frame or clip; 0: no media
  bool media_required = true;  // false: on a device that takes none, text alone
  // Of the weights of the projector, whose towers run where the whole model lies: room is kept for them on a GPU.
  int64_t projector_bytes = 0;
  // Called after each tensor of a load with the bytes done and all there are; what it throws ends the load.
  std::function<void(int64_t done, int64_t total)> progress = {};
  // As llama.cpp counts: so many of the last layers, the head being the very last, lie on the GPU; more than there are,
  // or -1, is everything. Not given: as many as fit.
  std::optional<int64_t> n_gpu_layers = {};
  // Instead of `device`: devices and how many layers, from the first on, each holds; -1, once, for the rest.
  std::vector<std::pair<std::string, int64_t>> device_map = {};
};

}  // namespace g4
