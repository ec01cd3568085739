// Attention by float32 vectors, for every type of queries and caches: a block of keys and values becomes float32.
#pragma once

#include "backends/cpu/kernels/attention_tile.h"
#include "backends/cpu/kernels/dot_tile.h"

namespace g4::G4_ISA_NAMESPACE {

static inline bool all_finite(const float* x, int64_t n) {
  Vec sum = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum += load(x + i) * 0.0f;
  float rest = reduce_add(sum);
  for (; i < n; ++i) rest += x[i] * 0.0f;
  return rest == 0.0f;
}

struct FloatTile : QueryTile {
  static constexpr int64_t kBlock = 32;
  static constexpr int64_t kRowStep = 1;
  // Queries [rows, d], a block of keys and of values [kBlock, d], scores [rows, kBlock].
  float *queries, *keys, *values, *scores;

  static int64_t scratch_floats(const Shapes& s) { return s.tile_rows * s.d + 2 * kBlock * s.d + s.tile_rows * kBlock; }

  FloatTile(const QueryTile& tile, float* memory) : QueryTile(tile) {
    queries = memory;
    keys = queries + s->tile_rows * s->d;
    values = keys + kBlock * s->d;
    scores = values + kBlock * s->d;
    for (int64_t r = 0; r < rows(); ++r)
      load_floats(call->in[0].row(tensor_row(r)), call->in[0].dtype, queries + r * s->d, s->d);
  }

  void attend_block(int64_t, Range seen, const State& state) const {
    const int64_t n = seen.end - seen.begin, d = s->d;
    const KernelTensor &k_cache = call->in[1], &v_cache = call->in[2];
    for (int64_t j = 0; j < n; ++j) {
      const int64_t row = cache_row(seen.begin + j);
      load_floats(k_cache.row(row), k_cache.dtype, keys + j * d, d);
      load_floats(v_cache.row(row), v_cache.dtype, values + j * d, d);
    }
    const float* pointers[kMostTileQueries];
    for (int64_t r = 0; r < rows(); ++r) pointers[r] = queries + r * d;
    dot_all(keys, d, n, pointers, rows(), d, scores, kBlock);
    for (int64_t r = 0; r < rows(); ++r) weigh(r, seen.begin, n, state);
    if (n_tokens > 1 && !all_finite(values, n * d)) return add_seen_values(seen, state);
    int64_t r = 0;
    for (; r + 4 <= rows(); r += 4) add_values<4>(scores + r * kBlock, values, n, state.values + r * d);
    for (; r < rows(); ++r) add_values<1>(scores + r * kBlock, values, n, state.values + r * d);
  }

  static int64_t value_index(int64_t i) { return i; }

 private:
  // sums[r] += p[r][j] * v[j] for j in order; four rows share a loaded value vector.
  template <int kRows>
  void add_values(const float* p, const float* v, int64_t keys_count, float* sums) const {
    const int64_t d = s->d;
    int64_t i = 0;
    for (; i + kLanes <= d; i += kLanes) {
      Vec sum[kRows];
      for (int r = 0; r < kRows; ++r) sum[r] = load(sums + r * d + i);
      for (int64_t j = 0; j < keys_count; ++j) {
        const Vec value = load(v + j * d + i);
        for (int r = 0; r < kRows; ++r) sum[r] = fma(splat(p[r * kBlock + j]), value, sum[r]);
      }
      for (int r = 0; r < kRows; ++r) store(sums + r * d + i, sum[r]);
    }
    for (; i < d; ++i)
      for (int r = 0; r < kRows; ++r)
        for (int64_t j = 0; j < keys_count; ++j)
          sums[r * d + i] = fma(p[r * kBlock + j], v[j * d + i], sums[r * d + i]);
  }

  // A weight of 0 hides a key from a row only while its value is finite; here each row keeps to the keys it sees.
  void add_seen_values(Range block, const State& state) const {
    for (int64_t r = 0; r < rows(); ++r) {
      const Range own = range(token_of(r), block.begin, block.end);
      const int64_t first = own.begin - block.begin;
      if (own.begin < own.end)
        add_values<1>(scores + r * kBlock + first, values + first * s->d, own.end - own.begin, state.values + r * s->d);
    }
  }

  // Turns a row's scores into exponentials against its largest score so far; keys it does not see get 0.
  void weigh(int64_t r, int64_t low, int64_t n, const State& state) const {
    const Range visible = range(token_of(r), low, low + n);
    float* row = scores + r * kBlock;
    float top = state.top[r];
    for (int64_t j = 0; j < n; ++j) {
      const bool sees = low + j >= visible.begin && low + j < visible.end;
      row[j] = sees ? row[j] * scale() : -__builtin_inff();
      top = row[j] > top ? row[j] : top;
    }
    for (int64_t j = n; j < kBlock; ++j) row[j] = -__builtin_inff();
    if (top == -__builtin_inff()) {
      for (int64_t j = 0; j < kBlock; ++j) row[j] = 0;
      return;
    }
    rescale(state, r, top, s->d);
    const Vec shift = splat(top);
    map(row, kBlock, [&](Vec v) { return exp(v - shift); });
    for (int64_t j = 0; j < kBlock; ++j) state.sum[r] += row[j];
  }
};

}  // namespace g4::G4_ISA_NAMESPACE
