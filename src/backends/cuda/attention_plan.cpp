#include "backends/cuda/attention_plan.h"

#include "backends/cuda/device_buffer.h"
#include "ops/attention.h"
#include "ops/kv_write.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"

namespace g4::cuda {
namespace {

class AttentionMatcher {
 public:
  AttentionMatcher(const PlacedGraph& graph, const DeviceLimits& limits, const std::vector<int>& readers, size_t first,
                   size_t last)
      : graph_(graph), limits_(limits), readers_(readers), next_(first), last_(last) {}

  FoundAttention run() {
    const size_t first = next_;
    const bool writes = key_and_value();
    if (!writes) {
      next_ = first;
      call_ = {};
    }
    Turned q;
    if (!turned(q) || !is(attention_op) || node().inputs[0] != q.out || !read_once(q.out)) return {};
    const Node& op = node();
    if (op.inputs.size() != 4) return {};  // `last`, which a token alone seldom has
    const auto& params = op.as<AttentionParams>();
    call_.q = placed(q.raw), call_.k_cache = placed(op.inputs[1]), call_.v_cache = placed(op.inputs[2]);
    call_.out = placed(op.outputs[0]);
    call_.positions = reinterpret_cast<const int32_t*>(placed(op.inputs[3]).data);
    call_.scale = params.scale;
    call_.window = static_cast<int>(params.window);
    call_.raw_queries = true;
    call_.q_weight = q.weight, call_.q_eps = q.eps;
    call_.inner = q.inner;
    const KernelTensor table = placed(q.table);
    call_.turns = table.data, call_.turns_type = table.dtype;
    const KernelTensor cache_type = call_.k_cache;
    if (q.dtype != cache_type.dtype || call_.q.dtype != cache_type.dtype || !aligned(table.data) ||
        !aligned(reinterpret_cast<const std::byte*>(q.weight)))
      return {};
    if (writes && !fits_cache(op, q)) return {};
    ++next_;
    if (!attention_one_fits(call_, limits_) || overwrites()) return {};
    return {next_ - first, call_};
  }

 private:
  // A norm and the rope of its result.
  struct Turned {
    ValueId raw = -1, table = -1, out = -1;
    const float* weight = nullptr;
    float eps = 0;
    DType inner = DType::F32, dtype = DType::F32;
  };

  const Node& node() const { return graph_.graph.nodes()[next_]; }
  bool is(const OpDef& op) const { return next_ < last_ && node().op == &op; }
  bool read_once(ValueId id) const { return readers_[static_cast<size_t>(graph_.graph.root(id))] == 1; }
  static bool aligned(const std::byte* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }
  KernelTensor placed(ValueId id) const {
    const Tensor t = graph_.tensor(id);
    const auto* buffer = dynamic_cast<const DeviceBuffer*>(t.buffer);
    return kernel_tensor(t, buffer ? buffer->device() + t.offset : nullptr);
  }
  // [1, heads, d] without gaps.
  bool one_token(ValueId id) const {
    const Tensor t = graph_.tensor(id);
    return t.shape.rank() == 3 && t.shape[0] == 1 && t.contiguous();
  }
  bool same_place(ValueId a, ValueId b) const {
    const KernelTensor x = placed(a), y = placed(b);
    return x.data == y.data && x.dtype == y.dtype && x.rank == y.rank && x.dim[0] == y.dim[0] && x.dim[1] == y.dim[1] &&
           x.dim[2] == y.dim[2] && x.stride[0] == y.stride[0] && x.stride[1] == y.stride[1];
  }

  bool norm(ValueId& raw, ValueId& out, const float*& weight, float& eps) {
    if (!is(rms_norm_op) || !one_token(node().inputs[0])) return false;
    raw = node().inputs[0], out = node().outputs[0];
    eps = node().as<RmsNormParams>().eps;
    if (node().inputs.size() > 1) {
      const KernelTensor w = placed(node().inputs[1]);
      if (w.dtype != DType::F32 || !w.data || !aligned(w.data)) return false;
      weight = reinterpret_cast<const float*>(w.data);
    }
    ++next_;
    return read_once(out);
  }
  bool turned(Turned& t) {
    ValueId normed = -1;
    if (!norm(t.raw, normed, t.weight, t.eps) || !is(rope_op) || node().inputs[0] != normed) return false;
    if (graph_.tensor(node().inputs[1]).shape.rank() != 2) return false;  // turns parts of heads by themselves
    t.table = node().inputs[1], t.out = node().outputs[0];
    t.inner = node().as<RopeParams>().inner;
    t.dtype = graph_.tensor(t.out).dtype;
    if (graph_.tensor(normed).dtype != t.dtype || graph_.tensor(t.raw).dtype != t.dtype) return false;
    ++next_;
    return true;
  }

  bool key_and_value() {
    Turned& k = key_;
    ValueId raw_v = -1, v = -1;
    const float* weight = nullptr;
    if (!turned(k) || !norm(raw_v, v, weight, call_.v_eps) || weight || !is(kv_write_op)) return false;
    const Node& write = node();
    if (write.inputs[0] != k.out || write.inputs[1] != v || !read_once(k.out)) return false;
    if (graph_.tensor(v).dtype != k.dtype || graph_.tensor(raw_v).dtype != k.dtype) return false;
    write_ = &write;
    call_.k = placed(k.raw).data, call_.v = placed(raw_v).data;
    call_.k_weight = k.weight, call_.k_eps = k.eps;
    ++next_;
    return call_.k && call_.v && aligned(call_.k) && aligned(call_.v);
  }

  // The key and value written are this attention's, turned as its queries.
  bool fits_cache(const Node& attention, const Turned& q) const {
    return same_place(write_->inputs[2], attention.inputs[1]) && same_place(write_->inputs[3], attention.inputs[2]) &&
           placed(write_->inputs[4]).data == placed(attention.inputs[3]).data &&
           placed(key_.table).data == placed(q.table).data && key_.inner == q.inner && key_.dtype == q.dtype;
  }

  // Whether the result lies where a block may still read.
  bool overwrites() const {
    const int64_t head = call_.q.dim[2] * 2;
    const auto meets = [&](const std::byte* data, int64_t bytes) {
      return data && data < call_.out.data + call_.q.dim[1] * head && call_.out.data < data + bytes;
    };
    return meets(call_.q.data, call_.q.dim[1] * head) || meets(call_.k, call_.k_cache.dim[1] * head) ||
           meets(call_.v, call_.k_cache.dim[1] * head) || meets(call_.turns, call_.q.dim[2] * 4);
  }

  const PlacedGraph& graph_;
  const DeviceLimits& limits_;
  const std::vector<int>& readers_;
  size_t next_;
  const size_t last_;
  AttentionOne call_;
  Turned key_;
  const Node* write_ = nullptr;
};

}  // namespace

FoundAttention find_attention(const PlacedGraph& graph, const DeviceLimits& limits, const std::vector<int>& readers,
                              size_t first, size_t last) {
  return AttentionMatcher(graph, limits, readers, first, last).run();
}

}  // namespace g4::cuda
