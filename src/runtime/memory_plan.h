// The memory plan: every byte a model will use and on which device, computed before anything is allocated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace g4 {

// What lies in one place: some consecutive layers, in the first also the embeddings, in the last the head.
struct PlacePlan {
  std::string device;
  int64_t first_layer = 0;
  int64_t n_layers = 0;
  int64_t weights = 0;
  int64_t kv_cache = 0;     // when the context is full
  int64_t activations = 0;  // the arena of the largest step
  int64_t reserve = 0;      // for the device's own use
};

// What all places on one device, or the host on behalf of others, take together.
struct DeviceUse {
  std::string device;
  int64_t needed = 0;
  int64_t available = 0;  // before loading
};

struct MemoryPlan {
  int64_t weights = 0;  // mapped from the file on the CPU, shared with the page cache
  int64_t kv_cache = 0;
  int64_t kv_snapshot = 0;  // the rings, kept in host memory before each answer
  int64_t activations = 0;
  int64_t soft_tokens = 0;   // of media, on their way into a step
  int64_t projector = 0;     // weights and activations of the media towers on the model's own GPU
  int64_t host_weights = 0;  // of the weights: tables in host memory that another device reads there
  int64_t available = 0;     // on the devices of the places
  int64_t n_ctx = 0;
  int64_t micro_batch = 0;     // tokens a step of a prompt
  int64_t max_media_span = 0;  // as asked for; 0 where the devices take no media and need not
  std::vector<PlacePlan> places;
  std::vector<DeviceUse> devices;
  std::string note;  // what did not fit and was placed elsewhere for that; empty: nothing

  int64_t total() const { return weights + kv_cache + kv_snapshot + activations + soft_tokens + projector; }
  bool fits() const;
  // Whether what is on this device does.
  bool fits(const std::string& device) const;
};

// "weights 241.2 MB + KV cache 12.0 MB + ... = 300.1 MB; cpu: 300.1 MB of 8000.0 MB available"
std::string describe(const MemoryPlan& plan);
// "12.0 MB"
std::string megabytes(int64_t bytes);
// "cpu, layers 0-11; cuda, layers 12-35 and the head"; the device alone where there is one place.
std::string describe_places(const std::vector<PlacePlan>& places);

}  // namespace g4
