#include "runtime/kv_cache.h"

#include <algorithm>

namespace g4 {
namespace {

constexpr int64_t kSlotStep = 64;  // kernels that read keys in chunks want a ring to be whole chunks

}  // namespace

namespace {

// Where the keys and values of layer `producer` are written or read, its own place first.
std::vector<int> places_of(const TextConfig& config, const LayerPlaces& places, int producer) {
  std::vector<int> found{places.of(producer)};
  for (int i = producer + 1; i < config.n_layers(); ++i) {
    if (config.layers[static_cast<size_t>(i)].kv_source != producer) continue;
    if (std::find(found.begin(), found.end(), places.of(i)) == found.end()) found.push_back(places.of(i));
  }
  return found;
}

}  // namespace

KvCache::KvCache(const TextConfig& config, const KvCacheShape& shape, const LayerPlaces& places,
                 const Allocate& allocate)
    : bytes_(static_cast<size_t>(places.count())) {
  for (int i = 0; i < config.n_layers(); ++i) {
    const LayerConfig& c = config.layers[static_cast<size_t>(i)];
    Layer layer;
    if (config.produces_kv(i)) {
      layer.ring = c.sliding && config.window + shape.span < shape.n_ctx;
      layer.window = c.sliding && config.window < shape.n_ctx ? config.window : 0;
      const int64_t needed = layer.ring ? config.window + shape.span : shape.n_ctx;
      const int64_t slots = needed < 8 * kSlotStep ? needed : (needed + kSlotStep - 1) / kSlotStep * kSlotStep;
      if (layer.ring) {
        window_ = config.window;
        slots_ = slots;
      }
      layer.places = places_of(config, places, i);
      if (c.head_dim % block_size(shape.dtype))
        fail<ArgumentError>("kv_dtype", name(shape.dtype), ": heads of a multiple of ", block_size(shape.dtype),
                            " expected, layer ", i, " has ", c.head_dim);
      const Shape dims{slots, c.kv_heads, c.head_dim};
      const int64_t bytes = row_bytes(shape.dtype, dims.elements());
      for (int place : layer.places) {
        Copy copy;
        for (Tensor* t : {&copy.k, &copy.v}) {
          buffers_.push_back(allocate(bytes, place));
          *t = Tensor(shape.dtype, dims, buffers_.back().get(), 0);
        }
        layer.copies.push_back(copy);
        bytes_[static_cast<size_t>(place)] += 2 * bytes;
      }
    }
    layers_.push_back(std::move(layer));
  }
}

KvLayer KvCache::layer(int layer, int place) const {
  const Layer& l = layers_[static_cast<size_t>(layer)];
  const auto found = std::find(l.places.begin(), l.places.end(), place);
  G4_CHECK(found != l.places.end(), "layer ", layer, " has no keys in place ", place);
  const Copy& copy = l.copies[static_cast<size_t>(found - l.places.begin())];
  return {copy.k, copy.v, l.window};
}

int64_t KvCache::snapshot_bytes() const {
  int64_t bytes = 0;
  for (const Layer& l : layers_)
    if (l.ring) bytes += 2 * (window_ + kSnapshotSlack) * l.copies[0].k.strides[0];
  return bytes;
}

bool KvCache::can_resume(int64_t p) const {
  return window_ == 0 || oldest_ <= std::max<int64_t>(0, p - window_ + 1);  // the step at p reads from there
}

// Calls visit(tensor, first slot, slots, host bytes) for the one or two runs of slots that hold the saved positions.
template <class Visit>
void KvCache::visit_saved(Layer& layer, const Copy& copy, const Visit& visit) {
  const int64_t count = std::min(window_ + kSnapshotSlack, std::min(snapshot_position_, slots_));
  const int64_t first = (snapshot_position_ - count) % slots_;
  const int64_t before_wrap = std::min(count, slots_ - first);
  const int64_t stride = copy.k.strides[0];
  layer.saved.resize(static_cast<size_t>(2 * count * stride));
  std::byte* host = layer.saved.data();
  for (const Tensor* t : {&copy.k, &copy.v}) {
    visit(*t, first * stride, before_wrap * stride, host);
    if (count > before_wrap) visit(*t, 0, (count - before_wrap) * stride, host + before_wrap * stride);
    host += count * stride;
  }
}

void KvCache::snapshot(int64_t position) {
  snapshot_position_ = position;
  for (Layer& layer : layers_)
    if (layer.ring)
      visit_saved(layer, layer.copies[0], [](const Tensor& t, int64_t offset, int64_t bytes, std::byte* host) {
        t.buffer->read(t.offset + offset, host, bytes);
      });
}

bool KvCache::snapshot_can_resume(int64_t p) const {
  if (snapshot_position_ < 0 || p > snapshot_position_) return false;
  const int64_t held = std::min(window_ + kSnapshotSlack, slots_);
  return window_ == 0 || snapshot_position_ <= held || p - window_ + 1 >= snapshot_position_ - held;
}

void KvCache::restore_snapshot() {
  G4_CHECK(snapshot_position_ >= 0);
  for (Layer& layer : layers_)
    for (const Copy& copy : layer.copies)
      if (layer.ring)
        visit_saved(layer, copy, [](const Tensor& t, int64_t offset, int64_t bytes, std::byte* host) {
          t.buffer->write(t.offset + offset, host, bytes);
        });
  // What the rings hold before the saved window belongs to a dropped continuation.
  oldest_ = snapshot_position_ - std::min(window_ + kSnapshotSlack, std::min(snapshot_position_, slots_));
}

}  // namespace g4
