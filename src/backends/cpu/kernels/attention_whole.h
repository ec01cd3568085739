// Attention of queries that all see all keys (AttentionParams::whole: an image's patches), by matrix tiles. Keys and
// values of every head are packed once a call; a task then takes 32 queries of a head through them, block by block:
// scores as [queries, keys], a running softmax whose exponentials take the scores' place as two bfloat16 each
// (attention_matrix.h says why two), and their product with the values.
//
// A block's 32 keys and values lie in pairs (i, 16 + i), which is how two vectors of exponentials become pairs without
// a shuffle. Rows of d elements are padded with zeros to whole tiles. A value that is not finite makes its column NaN.
#pragma once

#include "backends/cpu/kernels/attention_tile.h"
#include "backends/cpu/kernels/attention_vectors.h"
#include "backends/cpu/kernels/matrix_tiles.h"

namespace g4::G4_ISA_NAMESPACE {

#if defined(__AMX_BF16__)
class WholeAttention {
 public:
  static bool supports(const CpuCall& call) {
    const KernelTensor &q = call.in[0], &k = call.in[1], &v = call.in[2];
    const auto& p = *static_cast<const AttentionParams*>(call.params);
    return p.whole && p.scale > 0 && q.dtype == DType::BF16 && k.dtype == DType::BF16 && v.dtype == DType::BF16 &&
           q.dim[1] == k.dim[1] && q.dim[2] <= kMostWidth;
  }

  explicit WholeAttention(const CpuCall& call)
      : call_(call),
        queries_(call.in[0].dim[0]),
        heads_(call.in[0].dim[1]),
        d_(call.in[0].dim[2]),
        slots_(call.in[1].dim[0]),
        keys_((slots_ + 31) / 32 * 32),
        key_width_((d_ + 31) / 32 * 32),
        value_width_((d_ + 15) / 16 * 16) {
    key_bytes_ = keys_ * key_width_ * 2;
    head_bytes_ = key_bytes_ + keys_ * value_width_ * 2;
    thread_bytes_ = kRows * (key_width_ * 2 + kScoreStride * 4 + value_width_ * 4);
  }

  int64_t workspace() const { return heads_ * head_bytes_ + call_.team->size * thread_bytes_; }

  void run() const {
    const int64_t groups = keys_ / 32, tiles = (queries_ + kRows - 1) / kRows;
    parallel_for(*call_.team, heads_ * groups, [&](int64_t task, int) { pack(task / groups, task % groups * 32); });
    parallel_for(*call_.team, heads_ * tiles, [&](int64_t task, int thread) {
      attend(task / tiles, task % tiles * kRows, call_.scratch + heads_ * head_bytes_ + thread * thread_bytes_);
    });
  }

 private:
  static constexpr int64_t kRows = 32;
  static constexpr int64_t kBlock = 256;                // keys: the scores of 32 queries stay in the nearest cache
  static constexpr int64_t kScoreStride = kBlock + 16;  // in floats: rows of a tile fall into different sets of it
  static constexpr int64_t kMostWidth = 128;
  static constexpr int64_t kTileBytes = 1024;

  // A thread's memory; rows of queries, scores and sums.
  struct Work {
    std::byte* queries;
    float* scores;
    float* sums;
    float top[kRows];   // the largest scores, times the scale and log2(e)
    Vec weight[kRows];  // sums of exponentials, lane by lane
  };

  const CpuCall& call_;
  int64_t queries_, heads_, d_, slots_, keys_, key_width_, value_width_;
  int64_t key_bytes_, head_bytes_, thread_bytes_;

  // Tiles [16 pairs of elements, 16 keys] and [16 pairs of keys, 16 elements].
  std::byte* key_tile(int64_t head, int64_t key, int64_t i) const {
    return call_.scratch + head * head_bytes_ + (key / 16 * (key_width_ / 32) + i / 32) * kTileBytes;
  }
  std::byte* value_tile(int64_t head, int64_t key, int64_t i) const {
    return call_.scratch + head * head_bytes_ + key_bytes_ + (key / 32 * (value_width_ / 16) + i / 16) * kTileBytes;
  }

  // Rows [first, first + 32) of a head of t, padded with zeros to `width` elements.
  void copy_rows(const KernelTensor& t, int64_t head, int64_t first, int64_t width, std::byte* to) const {
    for (int64_t r = 0; r < 32; ++r, to += width * 2) {
      const int64_t bytes = first + r < t.dim[0] ? d_ * 2 : 0;
      if (bytes) __builtin_memcpy(to, t.row((first + r) * heads_ + head), static_cast<size_t>(bytes));
      __builtin_memset(to + bytes, 0, static_cast<size_t>(width * 2 - bytes));
    }
  }

  // 32 keys and values of a head.
  void pack(int64_t head, int64_t first) const {
    alignas(64) std::byte rows[32 * kMostWidth * 2];
    copy_rows(call_.in[1], head, first, key_width_, rows);
    for (int64_t half = 0; half < 32; half += 16)
      for (int64_t i = 0; i < key_width_; i += 32) {
        RowInts pairs[16];
        for (int64_t r = 0; r < 16; ++r) pairs[r] = load_vector<RowInts>(rows + (half + r) * key_width_ * 2 + i * 2);
        transpose(pairs);
        std::byte* to = key_tile(head, first + half, i);
        for (int64_t r = 0; r < 16; ++r) store_vector(to + r * 64, pairs[r]);
      }
    copy_rows(call_.in[2], head, first, value_width_, rows);
    for (int64_t i = 0; i < value_width_; i += 16) {
      std::byte* to = value_tile(head, first, i);
      for (int64_t r = 0; r < 16; ++r) {
        const auto words = [&](int64_t row) {
          return __builtin_convertvector(load_vector<RowWords>(rows + row * value_width_ * 2 + i * 2), RowInts);
        };
        store_vector(to + r * 64, words(r) | words(16 + r) << 16);
      }
    }
  }
  typedef uint16_t RowWords __attribute__((vector_size(32)));

  void attend(int64_t head, int64_t first, std::byte* memory) const {
    Work w;
    w.queries = memory;
    w.scores = reinterpret_cast<float*>(memory + kRows * key_width_ * 2);
    w.sums = w.scores + kRows * kScoreStride;
    copy_rows(call_.in[0], head, first, key_width_, w.queries);
    for (int64_t i = 0; i < kRows * value_width_; ++i) w.sums[i] = 0;
    for (int64_t r = 0; r < kRows; ++r) w.top[r] = -__builtin_inff(), w.weight[r] = Vec{};
    const TileScope tiles;
    for (int64_t key = 0; key < keys_; key += kBlock) {
      const int64_t count = keys_ - key < kBlock ? keys_ - key : kBlock;
      if (key_width_ == 64)
        score_narrow(w, head, key, count);
      else
        for (int64_t j = 0; j < count; j += 32) score(w, head, key + j, w.scores + j);
      weigh(w, count, slots_ - key);
      for (int64_t r = 0; r < kRows; r += 16)
        for (int64_t i = 0; i < value_width_; i += 64) {
          const int64_t left = (value_width_ - i) / 16;
          const auto add = left > 3   ? &WholeAttention::add_values<4>
                           : left > 2 ? &WholeAttention::add_values<3>
                           : left > 1 ? &WholeAttention::add_values<2>
                                      : &WholeAttention::add_values<1>;
          (this->*add)(w, head, r, key, count, i);
        }
    }
    const KernelTensor& out = call_.out[0];
    for (int64_t r = 0; r < kRows && first + r < queries_; ++r) {
      float* row = w.sums + r * value_width_;
      const float factor = 1.0f / reduce_add(w.weight[r]);
      for (int64_t i = 0; i < d_; ++i) row[i] *= factor;
      store_floats(row, out.row((first + r) * heads_ + head), out.dtype, d_);
    }
  }

  // 32 queries by 32 keys.
  void score(const Work& w, int64_t head, int64_t key, float* out) const {
    const int64_t stride = key_width_ * 2;
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
    for (int64_t i = 0; i < key_width_; i += 32) {
      tile_load<4>(w.queries + i * 2, stride);
      tile_load<6>(key_tile(head, key, i));
      tile_dot<0, 4, 6>();
      tile_load<7>(key_tile(head, key + 16, i));
      tile_dot<1, 4, 7>();
      tile_load<5>(w.queries + 16 * stride + i * 2, stride);
      tile_dot<2, 5, 6>();
      tile_dot<3, 5, 7>();
    }
    tile_store<0>(out, kScoreStride * 4);
    tile_store<1>(out + 16, kScoreStride * 4);
    tile_store<2>(out + 16 * kScoreStride, kScoreStride * 4);
    tile_store<3>(out + 16 * kScoreStride + 16, kScoreStride * 4);
  }

  // A block, the queries of 64 elements staying in their tiles.
  void score_narrow(const Work& w, int64_t head, int64_t key, int64_t count) const {
    tile_load<4>(w.queries, 128);
    tile_load<5>(w.queries + 64, 128);
    tile_load<6>(w.queries + 16 * 128, 128);
    tile_load<7>(w.queries + 16 * 128 + 64, 128);
    const std::byte* keys = key_tile(head, key, 0);
    for (int64_t j = 0; j < count; j += 16, keys += 2 * kTileBytes) {
      tile_zero<0>();
      tile_zero<1>();
      tile_load<2>(keys);
      tile_dot<0, 4, 2>();
      tile_dot<1, 6, 2>();
      tile_load<3>(keys + kTileBytes);
      tile_dot<0, 5, 3>();
      tile_dot<1, 7, 3>();
      tile_store<0>(w.scores + j, kScoreStride * 4);
      tile_store<1>(w.scores + 16 * kScoreStride + j, kScoreStride * 4);
    }
  }

  // The scores of a block, of which `seen` columns are of keys, become exponentials against each row's largest so far.
  // Powers of 2: the product with log2(e) is exact inside the fused operation, and what the shift's rounding leaves is
  // the same for all.
  void weigh(Work& w, int64_t count, int64_t seen) const {
    const float lowest = -__builtin_inff();
    const Vec factor = splat(static_cast<const AttentionParams*>(call_.params)->scale * kLog2E);
    alignas(64) float tops[kRows], decays[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      float* row = w.scores + r * kScoreStride;
      for (int64_t j = seen; j < count; ++j) row[j] = lowest;
      Vec top[2] = {splat(lowest), splat(lowest)};
      for (int64_t j = 0; j < count; j += 32)
        for (int i = 0; i < 2; ++i) top[i] = larger(load(row + j + 16 * i), top[i]);
      tops[r] = largest(larger(top[0], top[1]));
    }
    for (int64_t r = 0; r < kRows; r += kLanes) {
      const Vec before = load(w.top + r), top = larger(load(tops + r) * factor, before);
      store(decays + r, select(top == before, splat(1.0f), exp2_of_falling(before - top)));
      store(w.top + r, top);
    }
    for (int64_t r = 0; r < kRows; ++r) {
      if (decays[r] != 1.0f) {
        w.weight[r] *= splat(decays[r]);
        scale_row(w.sums + r * value_width_, decays[r], value_width_);
      }
      const Vec shift = splat(w.top[r] == lowest ? 0.0f : -w.top[r]);
      w.weight[r] += weigh_row(w.scores + r * kScoreStride, count, factor, shift);
    }
  }

  // 2^(factor x + shift) as two bfloat16 each, and their sums.
  static G4_INLINE Vec weigh_row(float* row, int64_t count, Vec factor, Vec shift) {
    Vec sum = {};
    for (int64_t j = 0; j < count; j += 32) {
      IVec high[2], low[2];
      for (int i = 0; i < 2; ++i) {
        const Vec weight = exp2_of_falling(fma(load(row + j + 16 * i), factor, shift));
        sum += weight;
        high[i] = (IVec)weight & static_cast<int32_t>(0xffff0000);
        low[i] = (IVec)(weight - (Vec)high[i]) + 0x8000;
      }
      store_vector(row + j, upper_halves(high[0], high[1]));
      store_vector(row + j + 16, upper_halves(low[0], low[1]));
    }
    return sum;
  }

  // Sums of 16 rows += exponentials times kTiles tiles of values from element i on.
  template <int kTiles>
  void add_values(const Work& w, int64_t head, int64_t r, int64_t key, int64_t count, int64_t i) const {
    const int64_t stride = value_width_ * 4;
    float* sums = w.sums + r * value_width_ + i;
    tile_load<0>(sums, stride);
    if constexpr (kTiles > 1) tile_load<1>(sums + 16, stride);
    if constexpr (kTiles > 2) tile_load<2>(sums + 32, stride);
    if constexpr (kTiles > 3) tile_load<3>(sums + 48, stride);
    for (int64_t j = 0; j < count; j += 32) {
      const float* weights = w.scores + r * kScoreStride + j;
      const std::byte* v = value_tile(head, key + j, i);
      tile_load<4>(weights, kScoreStride * 4);
      tile_load<5>(weights + 16, kScoreStride * 4);
      add_tile<0, 6>(v);
      if constexpr (kTiles > 1) add_tile<1, 7>(v + kTileBytes);
      if constexpr (kTiles > 2) add_tile<2, 6>(v + 2 * kTileBytes);
      if constexpr (kTiles > 3) add_tile<3, 7>(v + 3 * kTileBytes);
    }
    tile_store<0>(sums, stride);
    if constexpr (kTiles > 1) tile_store<1>(sums + 16, stride);
    if constexpr (kTiles > 2) tile_store<2>(sums + 32, stride);
    if constexpr (kTiles > 3) tile_store<3>(sums + 48, stride);
  }
  template <int kSum, int kValues>
  static G4_INLINE void add_tile(const std::byte* v) {
    tile_load<kValues>(v);
    tile_dot<kSum, 4, kValues>();
    tile_dot<kSum, 5, kValues>();
  }
};
#endif

}  // namespace g4::G4_ISA_NAMESPACE
