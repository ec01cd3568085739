// What attention's ways of multiplying share: the cut of the work and the running softmax (attention.cpp).
#pragma once

#include "backends/cpu/kernels/rows.h"
#include "ops/attention.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kSplit = 512;
// Query rows of a tile; with head size 512 a tile's queries and sums take 256 KiB. Small heads have more rows, so that
// thousands of keys (an image's patches) are read from farther memory as rarely.
inline constexpr int64_t kTileQueries = 64, kMostTileQueries = 256;

static inline int64_t tile_queries(int64_t d) {
  const int64_t rows = kTileQueries * 256 / d;
  return rows < kTileQueries ? kTileQueries : (rows > kMostTileQueries ? kMostTileQueries : rows);
}

struct Shapes {
  int64_t tokens, heads, d, kv_heads, group, slots, window;
  int64_t tile_tokens, tile_rows;  // rows = tokens of a tile times heads of a group, in whole steps of `row_step`
  int64_t max_splits;
  bool split_parallel;
};

static inline Shapes shapes_of(const CpuCall& call, int64_t row_step) {
  const KernelTensor &q = call.in[0], &cache = call.in[1];
  Shapes s{};
  s.tokens = q.dim[0];
  s.heads = q.dim[1];
  s.d = q.dim[2];
  s.kv_heads = cache.dim[1];
  s.group = s.heads / s.kv_heads;
  s.slots = cache.dim[0];
  s.window = static_cast<const AttentionParams*>(call.params)->window;
  s.split_parallel = s.tokens == 1;
  s.tile_tokens = tile_queries(s.d) / s.group > 0 ? tile_queries(s.d) / s.group : 1;
  if (s.tile_tokens > s.tokens) s.tile_tokens = s.tokens;
  s.tile_rows = (s.tile_tokens * s.group + row_step - 1) / row_step * row_step;
  const bool sees_ahead = call.n_in > 4;
  s.max_splits = (s.window && !sees_ahead ? s.window : s.slots) / kSplit + 2;
  return s;
}

// The running softmax of a tile: per row the largest score, the sum of exponentials and the weighted values.
struct State {
  float* top;
  float* sum;
  float* values;  // [rows, d]
};

static G4_INLINE int64_t state_floats(const Shapes& s) { return s.tile_rows * (s.d + 2); }
static G4_INLINE State state_at(float* memory, const Shapes& s) {
  return {memory, memory + s.tile_rows, memory + 2 * s.tile_rows};
}

static inline void clear(const State& state, const Shapes& s) {
  for (int64_t r = 0; r < s.tile_rows; ++r) state.top[r] = -__builtin_inff(), state.sum[r] = 0;
  for (int64_t i = 0; i < s.tile_rows * s.d; ++i) state.values[i] = 0;
}

static G4_INLINE void scale_row(float* values, float factor, int64_t d) {
  for (int64_t i = 0; i < d; ++i) values[i] *= factor;
}

// Rescales a row's sums to a new largest score.
static inline void rescale(const State& state, int64_t r, float top, int64_t d) {
  if (state.top[r] == top) return;
  const float factor = exp(splat(state.top[r] - top))[0];
  state.sum[r] *= factor;
  scale_row(state.values + r * d, factor, d);
  state.top[r] = top;
}

// into += part, for one row of each.
static inline void merge(const State& into, const State& part, int64_t r, int64_t d) {
  const float top = part.top[r];
  if (top == -__builtin_inff()) return;
  if (top > into.top[r]) rescale(into, r, top, d);
  const float factor = exp(splat(top - into.top[r]))[0];
  into.sum[r] += part.sum[r] * factor;
  for (int64_t i = 0; i < d; ++i) into.values[r * d + i] += part.values[r * d + i] * factor;
}

struct Range {
  int64_t begin, end;
};

// The queries of some tokens by the heads of one group: row t * group + g.
struct QueryTile {
  const CpuCall* call;
  const Shapes* s;
  const int32_t* positions;
  const int32_t* last;
  int64_t kv_head, first_token, n_tokens;

  int64_t rows() const { return n_tokens * s->group; }
  int64_t token_of(int64_t row) const { return first_token + row / s->group; }
  // Of q and of the output.
  int64_t tensor_row(int64_t row) const { return token_of(row) * s->heads + kv_head * s->group + row % s->group; }
  // Of the caches.
  int64_t cache_row(int64_t position) const { return position % s->slots * s->kv_heads + kv_head; }
  float scale() const { return static_cast<const AttentionParams*>(call->params)->scale; }

  int64_t lowest(int64_t token) const {
    const int64_t p = positions[token];
    return s->window && p >= s->window ? p - s->window + 1 : 0;
  }

  // The positions in [begin, end) that a token sees.
  Range range(int64_t token, int64_t begin, int64_t end) const {
    const int64_t from = lowest(token), to = last[token] + 1;
    return {from > begin ? from : begin, to < end ? to : end};
  }

  // The positions in [begin, end) that some token sees, and those between them.
  Range seen(int64_t begin, int64_t end) const {
    Range all{end, begin};
    for (int64_t t = first_token; t < first_token + n_tokens; ++t) {
      const Range r = range(t, begin, end);
      if (r.begin >= r.end) continue;
      if (r.begin < all.begin) all.begin = r.begin;
      if (r.end > all.end) all.end = r.end;
    }
    return all;
  }
};

}  // namespace g4::G4_ISA_NAMESPACE
