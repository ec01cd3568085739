// The KV cache of one sequence. A sliding layer keeps a ring of window + micro-batch positions, a global layer a slot
// for every position up to n_ctx (its memory is committed as it fills), a KV-shared layer nothing. Where layers in
// other places share a layer's keys and values, each of those places has a copy, written along with the layer's own.
//
// Going back: after n positions have been written, the state at position p < n can be resumed if the rings still hold
// the window before p. Where they do not, a snapshot of the rings taken earlier brings the state at its own
// position back, as long as the global layers' entries before it still belong to the same tokens; the engine watches
// that.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backends/backend.h"
#include "model/kv_view.h"
#include "model/layer_places.h"
#include "model/text_config.h"

namespace g4 {

struct KvCacheShape {
  DType dtype = DType::BF16;
  int64_t n_ctx = 0;
  int64_t span = 0;  // the most positions written in one step
};

class KvCache final : public KvView {
 public:
  // A snapshot reaches this far behind its position, so that a prompt which drops a few of the last tokens (the opening
  // of an answer, an empty thought) can still resume from it.
  static constexpr int64_t kSnapshotSlack = 16;

  // Memory comes from `allocate`; with one that returns phantoms the cache is a plan.
  using Allocate = std::function<std::unique_ptr<Buffer>(int64_t bytes, int place)>;
  KvCache(const TextConfig& config, const KvCacheShape& shape, const LayerPlaces& places, const Allocate& allocate);

  KvLayer layer(int layer, int place) const override;
  const std::vector<int>& places(int layer) const override { return layers_[static_cast<size_t>(layer)].places; }
  // Of a place.
  int64_t bytes(int place) const { return bytes_[static_cast<size_t>(place)]; }
  // Of host memory.
  int64_t snapshot_bytes() const;

  // Positions up to n are being written or have been: the rings lose what is `slots_` behind.
  void wrote(int64_t n) { oldest_ = std::max(oldest_, n - slots_); }
  // The sequence ends at p from here on; at 0 whatever the rings hold is of no use and in nobody's way.
  void truncate(int64_t p) { oldest_ = std::min(oldest_, p); }
  // Whether the rings still hold what a step at position p needs.
  bool can_resume(int64_t p) const;

  // Keeps the rings' last positions before `position`.
  void snapshot(int64_t position);
  bool snapshot_can_resume(int64_t p) const;
  int64_t snapshot_position() const { return snapshot_position_; }
  void restore_snapshot();
  void drop_snapshot() { snapshot_position_ = -1; }

 private:
  struct Copy {
    Tensor k, v;
  };
  struct Layer {
    std::vector<int> places;  // of the copies, the layer's own first
    std::vector<Copy> copies;
    bool ring = false;
    int64_t window = 0;
    std::vector<std::byte> saved;  // of the snapshot: keys, then values
  };
  template <class Visit>
  void visit_saved(Layer& layer, const Copy& copy, const Visit& visit);

  std::vector<Layer> layers_;  // of KV-shared layers: empty
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<int64_t> bytes_;  // per place
  int64_t window_ = 0;          // the widest ring's; 0 without rings
  int64_t slots_ = 0;           // of every ring
  int64_t oldest_ = 0;          // the first position that the rings hold
  int64_t snapshot_position_ = -1;
};

}  // namespace g4
