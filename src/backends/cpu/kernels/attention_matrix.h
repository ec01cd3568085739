// Attention by matrix tiles, for bfloat16 queries and caches. Scores come as [keys, queries], so that keys are read
// from the cache as they lie and the softmax has a query in each lane. The exponentials then go into the second product
// as two bfloat16 each, 16 bits of mantissa: what a float32 softmax loses there is less than what the sum rounds.
//
// A key's place in a block is its position modulo kBlock, and keys that a query does not see weigh 0: sums do not
// depend on the batch.
#pragma once

#include "backends/cpu/kernels/attention_tile.h"
#include "backends/cpu/kernels/attention_vectors.h"
#include "backends/cpu/kernels/matrix_tiles.h"

namespace g4::G4_ISA_NAMESPACE {

#if defined(__AMX_BF16__)
struct MatrixTile : QueryTile {
  static constexpr int64_t kBlock = 128;
  static constexpr int64_t kRowStep = 16;
  static constexpr int64_t kTileBytes = 1024;

  static int64_t scratch_floats(const Shapes& s) {
    return (s.tile_rows * s.d + 2 * kBlock * s.d) / 2 + 2 * kBlock * s.tile_rows;
  }
  static bool supports(const CpuCall& call) {
    const KernelTensor &q = call.in[0], &k = call.in[1], &v = call.in[2];
    return q.dtype == DType::BF16 && k.dtype == DType::BF16 && v.dtype == DType::BF16 && q.dim[2] % 64 == 0 &&
           q.dim[2] <= kLongestRow;
  }

  MatrixTile(const QueryTile& tile, float* memory) : QueryTile(tile) {
    const int64_t d = s->d;
    queries_ = reinterpret_cast<std::byte*>(memory);
    keys_ = queries_ + s->tile_rows * d * 2;
    values_ = keys_ + kBlock * d * 2;
    weights_ = values_ + kBlock * d * 2;
    scores_ = reinterpret_cast<float*>(weights_ + 2 * kBlock * s->tile_rows * 2);
    for (int64_t first = 0; first < s->tile_rows; first += 16)
      for (int64_t i = 0; i < d; i += 32) {
        RowInts pairs[16];
        for (int64_t r = 0; r < 16; ++r)
          pairs[r] =
              first + r < rows() ? load_vector<RowInts>(call->in[0].row(tensor_row(first + r)) + i * 2) : RowInts{};
        transpose(pairs);
        for (int64_t r = 0; r < 16; ++r) store_vector(query_tile(first, i) + r * 64, pairs[r]);
      }
  }

  void attend_block(int64_t block, Range seen, const State& state) const {
    const int64_t begin = block + (seen.begin - block) / 32 * 32;
    const int64_t keys = (seen.end - begin + 31) / 32 * 32;
    const TileScope tiles;
    score_keys(begin, keys, seen);
    const bool finite = pack_values(begin, keys, seen);
    const bool one_by_one = n_tokens > 1 && !finite;
    for (int64_t first = 0; first < s->tile_rows; first += 16) weigh(first, begin, keys, state, one_by_one);
    if (one_by_one) return add_seen_values(begin, seen, state);
    for (int64_t first = 0; first < s->tile_rows; first += 16) add_values(first, keys, state);
  }

  // Where element i of a row lies in State::values: pack_values interleaves within 16 bytes.
  static int64_t value_index(int64_t i) { return i / 32 * 32 + (i & 4) * 4 + i % 32 / 8 * 4 + i % 4; }

 private:
  static constexpr int64_t kLongestRow = 1024;
  alignas(64) static constexpr std::byte kZeros[kLongestRow * 2] = {};

  std::byte* queries_;  // tiles [16 pairs, 16 queries]
  std::byte* keys_;     // rows, where the cache's wrap around
  std::byte* values_;   // tiles [16 pairs of keys, 16 elements]
  std::byte* weights_;  // tiles [16 queries, 32 keys], then the same of what they leave
  float* scores_;       // [keys, rows]

  std::byte* query_tile(int64_t first, int64_t i) const {
    return queries_ + (first / 16 * (s->d / 32) + i / 32) * kTileBytes;
  }
  std::byte* value_tile(int64_t key, int64_t i) const {
    return values_ + (key / 32 * (s->d / 16) + i / 16) * kTileBytes;
  }
  std::byte* weight_tile(int64_t first, int64_t key, int part) const {
    return weights_ + ((part * s->tile_rows + first) / 16 * (kBlock / 32) + key / 32) * kTileBytes;
  }
  const std::byte* row_of(const KernelTensor& cache, int64_t position) const {
    return cache.data + position % s->slots * cache.stride[0] + kv_head * cache.stride[1];
  }

  // scores_[key, row] = k . q for `keys` keys from position `begin` on, those not seen included.
  void score_keys(int64_t begin, int64_t keys, Range seen) const {
    const KernelTensor& cache = call->in[1];
    const std::byte* k = row_of(cache, begin);
    int64_t stride = cache.stride[0];
    if (begin % s->slots + keys > s->slots) {
      for (int64_t j = 0; j < keys; ++j) {
        const bool inside = begin + j >= seen.begin && begin + j < seen.end;
        __builtin_memcpy(keys_ + j * s->d * 2, inside ? row_of(cache, begin + j) : kZeros,
                         static_cast<size_t>(s->d) * 2);
      }
      k = keys_;
      stride = s->d * 2;
    }
    for (int64_t j = 0; j < keys; j += 32)
      for (int64_t first = 0; first < s->tile_rows; first += 32) {
        const std::byte* v = row_of(call->in[2], begin + j);
        if (first + 16 < s->tile_rows)
          score_tiles<true>(k + j * stride, stride, v, first, scores_ + j * s->tile_rows + first);
        else
          score_tiles<false>(k + j * stride, stride, v, first, scores_ + j * s->tile_rows + first);
      }
  }

  // 32 keys by 16 or 32 queries; asks for the values of these keys.
  template <bool kTwo>
  void score_tiles(const std::byte* k, int64_t stride, const std::byte* v, int64_t first, float* out) const {
    tile_zero<0>();
    tile_zero<1>();
    if constexpr (kTwo) tile_zero<2>(), tile_zero<3>();
    for (int64_t i = 0; i < s->d; i += 32) {
      if (first == 0)
        for (int64_t r = 0; r < 32; ++r) {
          prefetch(v + r * stride + i * 2);
          __builtin_prefetch(k + r * stride + i * 2 + 128);
        }
      tile_load<4>(k + i * 2, stride);
      tile_load<5>(k + 16 * stride + i * 2, stride);
      tile_load<6>(query_tile(first, i));
      tile_dot<0, 4, 6>();
      tile_dot<1, 5, 6>();
      if constexpr (kTwo) {
        tile_load<7>(query_tile(first + 16, i));
        tile_dot<2, 4, 7>();
        tile_dot<3, 5, 7>();
      }
    }
    const int64_t row = s->tile_rows;
    tile_store<0>(out, row * 4);
    tile_store<1>(out + 16 * row, row * 4);
    if constexpr (kTwo) tile_store<2>(out + 16, row * 4), tile_store<3>(out + 16 * row + 16, row * 4);
  }

  // Into the second-level cache: rows a power of two apart crowd a few sets of the first.
  static G4_INLINE void prefetch(const std::byte* p) { __builtin_prefetch(p, 0, 2); }

  // Values of neighbouring keys side by side, 0 where not seen. Whether all are finite. Asks for the next block's keys.
  bool pack_values(int64_t begin, int64_t keys, Range seen) const {
    const KernelTensor& cache = call->in[1];
    const std::byte* next = row_of(cache, begin + keys);
    const auto row = [&](int64_t j) {
      return begin + j >= seen.begin && begin + j < seen.end ? row_of(call->in[2], begin + j) : kZeros;
    };
    Halves infinite = {};
    for (int64_t j = 0; j < keys; j += 2) {
      const std::byte *even = row(j), *odd = row(j + 1);
      for (int64_t i = 0; i < s->d; i += 32) {
        prefetch(next + j * cache.stride[0] + i * 2);
        prefetch(next + (j + 1) * cache.stride[0] + i * 2);
        __builtin_prefetch(even + 2 * cache.stride[0] + i * 2);
        __builtin_prefetch(odd + 2 * cache.stride[0] + i * 2);
        const auto a = load_vector<Halves>(even + i * 2), b = load_vector<Halves>(odd + i * 2);
        std::byte* to = value_tile(j, i) + j % 32 * 32;
        store_vector(to, __builtin_shufflevector(a, b, 0, 32, 1, 33, 2, 34, 3, 35, 8, 40, 9, 41, 10, 42, 11, 43, 16, 48,
                                                 17, 49, 18, 50, 19, 51, 24, 56, 25, 57, 26, 58, 27, 59));
        store_vector(to + kTileBytes,
                     __builtin_shufflevector(a, b, 4, 36, 5, 37, 6, 38, 7, 39, 12, 44, 13, 45, 14, 46, 15, 47, 20, 52,
                                             21, 53, 22, 54, 23, 55, 28, 60, 29, 61, 30, 62, 31, 63));
        infinite |= (Halves)((a & 0x7f80) == 0x7f80) | (Halves)((b & 0x7f80) == 0x7f80);
      }
    }
    uint64_t any = 0;
    for (int i = 0; i < 8; ++i) any |= ((uint64_t __attribute__((vector_size(64))))infinite)[i];
    return any == 0;
  }

  // The scores of 16 rows become exponentials against each row's largest so far, 0 for keys that it does not see: as
  // weight tiles, and in scores_ where `kept`.
  void weigh(int64_t first, int64_t begin, int64_t keys, const State& state, bool kept) const {
    IVec from = {}, to = IVec{} + static_cast<int32_t>(keys);
    bool all = true;
    for (int64_t r = 0; r < 16 && first + r < rows(); ++r) {
      const Range visible = range(token_of(first + r), begin, begin + keys);
      from[r] = static_cast<int32_t>(visible.begin - begin);
      to[r] = static_cast<int32_t>(visible.end - begin);
      all = all && from[r] == 0 && to[r] == keys;
    }
    const Vec lowest = splat(-__builtin_inff()), factor = splat(scale());
    float* column = scores_ + first;
    const Vec before = load(state.top + first);
    Vec tops[4] = {before, before, before, before};  // a chain for each: the largest is the same in any order
    for (int64_t j = 0; j < keys; ++j) {
      Vec v = load(column + j * s->tile_rows) * factor;
      if (!all) {
        const IVec key = IVec{} + static_cast<int32_t>(j);
        v = select((from <= key) & (key < to), v, lowest);
        store(column + j * s->tile_rows, v);
      }
      tops[j % 4] = larger(v, tops[j % 4]);
    }
    const Vec top = larger(larger(tops[0], tops[1]), larger(tops[2], tops[3]));
    const Vec decay = select(top == before, splat(1.0f), exp(before - top));
    for (int r = 0; r < 16; ++r)
      if (decay[r] != 1.0f) scale_row(state.values + (first + r) * s->d, decay[r], s->d);
    store(state.top + first, top);

    const Vec shift = select(top == lowest, splat(0.0f), top);
    const Vec unscaled = all ? factor : splat(1.0f);
    Vec sum = load(state.sum + first) * decay;
    for (int64_t block = 0; block < keys; block += 32) {
      RowInts large[16], small[16];
      for (int64_t j = 0; j < 32; j += 2) {
        IVec high[2], low[2];
        for (int64_t i = 0; i < 2; ++i) {
          float* at = column + (block + j + i) * s->tile_rows;
          const Vec weight = exp_of_falling(load(at) * unscaled - shift);
          if (kept) store(at, weight);
          sum += weight;
          high[i] = (IVec)weight & static_cast<int32_t>(0xffff0000);
          low[i] = (IVec)(weight - (Vec)high[i]) + 0x8000;
        }
        large[j / 2] = upper_halves(high[0], high[1]);
        small[j / 2] = upper_halves(low[0], low[1]);
      }
      transpose(large);
      transpose(small);
      for (int r = 0; r < 16; ++r) {
        store_vector(weight_tile(first, block, 0) + r * 64, large[r]);
        store_vector(weight_tile(first, block, 1) + r * 64, small[r]);
      }
    }
    store(state.sum + first, sum);
  }

  // State::values of 16 rows += weights times values.
  void add_values(int64_t first, int64_t keys, const State& state) const {
    const int64_t stride = s->d * 4;
    for (int64_t i = 0; i < s->d; i += 64) {
      float* sums = state.values + first * s->d + i;
      tile_load<0>(sums, stride);
      tile_load<1>(sums + 16, stride);
      tile_load<2>(sums + 32, stride);
      tile_load<3>(sums + 48, stride);
      for (int64_t j = 0; j < keys; j += 32) {
        const std::byte* v = value_tile(j, i);
        tile_load<4>(weight_tile(first, j, 0));
        tile_load<5>(weight_tile(first, j, 1));
        add_tile<0, 6>(v);
        add_tile<1, 7>(v + kTileBytes);
        add_tile<2, 6>(v + 2 * kTileBytes);
        add_tile<3, 7>(v + 3 * kTileBytes);
      }
      tile_store<0>(sums, stride);
      tile_store<1>(sums + 16, stride);
      tile_store<2>(sums + 32, stride);
      tile_store<3>(sums + 48, stride);
    }
  }
  template <int kSum, int kValues>
  static G4_INLINE void add_tile(const std::byte* v) {
    tile_load<kValues>(v);
    tile_dot<kSum, 4, kValues>();
    tile_dot<kSum, 5, kValues>();
  }

  // A weight of 0 hides a key from a row only while its value is finite; here each row keeps to the keys it sees.
  void add_seen_values(int64_t begin, Range block, const State& state) const {
    for (int64_t r = 0; r < rows(); ++r) {
      const Range own = range(token_of(r), block.begin, block.end);
      for (int64_t p = own.begin; p < own.end; ++p) {
        const auto* v = reinterpret_cast<const uint16_t*>(row_of(call->in[2], p));
        const float weight = scores_[(p - begin) * s->tile_rows + r];
        for (int64_t i = 0; i < s->d; ++i) state.values[r * s->d + value_index(i)] += weight * bf16_to_f32(v[i]);
      }
    }
  }
};
#endif

}  // namespace g4::G4_ISA_NAMESPACE
