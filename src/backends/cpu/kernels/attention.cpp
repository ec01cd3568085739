// attention: see ops/attention.h. Online softmax (Milakov & Gimelshein 2018) over blocks of keys.
//
// Positions are cut at multiples of kSplit and, inside a split, of kBlock, wherever a query's range begins: a query
// meets the same blocks in the same order in every batch. A split yields (max, sum, weighted values); splits are merged
// in order. One token alone spreads its splits over the threads; a prefill chunk spreads tiles of queries.
#include "ops/attention.h"

#include "backends/cpu/kernels/dot_tile.h"
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kSplit = 512;
inline constexpr int64_t kBlock = 32;
// Query rows of a tile; with head size 512 a tile's queries and sums take 256 KiB.
inline constexpr int64_t kTileQueries = 64;

struct Shapes {
  int64_t tokens, heads, d, kv_heads, group, slots, window;
  int64_t tile_tokens, tile_rows;  // rows = tokens of a tile times heads of a group
  int64_t max_splits;
  bool split_parallel;
};

static Shapes shapes_of(const CpuCall& call) {
  const CpuTensor &q = call.in[0], &cache = call.in[1];
  Shapes s{};
  s.tokens = q.dim[0];
  s.heads = q.dim[1];
  s.d = q.dim[2];
  s.kv_heads = cache.dim[1];
  s.group = s.heads / s.kv_heads;
  s.slots = cache.dim[0];
  s.window = static_cast<const AttentionParams*>(call.params)->window;
  s.split_parallel = s.tokens == 1;
  s.tile_tokens = kTileQueries / s.group > 0 ? kTileQueries / s.group : 1;
  if (s.tile_tokens > s.tokens) s.tile_tokens = s.tokens;
  s.tile_rows = s.tile_tokens * s.group;
  s.max_splits = (s.window ? s.window : s.slots) / kSplit + 2;
  return s;
}

// The running softmax of a tile: per row the largest score, the sum of exponentials and the weighted values.
struct State {
  float* top;
  float* sum;
  float* values;  // [rows, d]
};

static int64_t state_floats(const Shapes& s) { return s.tile_rows * (s.d + 2); }
static State state_at(float* memory, const Shapes& s) {
  return {memory, memory + s.tile_rows, memory + 2 * s.tile_rows};
}

// Per thread: queries [rows, d], a block of keys and of values [kBlock, d], scores [rows, kBlock], two states.
static int64_t thread_floats(const Shapes& s) {
  return s.tile_rows * s.d + 2 * kBlock * s.d + s.tile_rows * kBlock + 2 * state_floats(s);
}

static void clear(const State& state, const Shapes& s) {
  for (int64_t r = 0; r < s.tile_rows; ++r) state.top[r] = -__builtin_inff(), state.sum[r] = 0;
  for (int64_t i = 0; i < s.tile_rows * s.d; ++i) state.values[i] = 0;
}

// Rescales a row's sums to a new largest score.
static void rescale(const State& state, int64_t r, float top, int64_t d) {
  if (state.top[r] == top) return;
  const float factor = exp(splat(state.top[r] - top))[0];
  state.sum[r] *= factor;
  float* values = state.values + r * d;
  for (int64_t i = 0; i < d; ++i) values[i] *= factor;
  state.top[r] = top;
}

// into += part, for one row of each.
static void merge(const State& into, int64_t ri, const State& part, int64_t rp, int64_t d) {
  const float top = part.top[rp];
  if (top == -__builtin_inff()) return;
  if (top > into.top[ri]) rescale(into, ri, top, d);
  const float factor = exp(splat(top - into.top[ri]))[0];
  into.sum[ri] += part.sum[rp] * factor;
  for (int64_t i = 0; i < d; ++i) into.values[ri * d + i] += part.values[rp * d + i] * factor;
}

// values[r] += p[r][j] * v[j] for j in order; four rows share a loaded value vector.
template <int kRows>
static void add_values(const float* p, const float* v, int64_t keys, int64_t d, float* values) {
  int64_t i = 0;
  for (; i + kLanes <= d; i += kLanes) {
    Vec sum[kRows];
    for (int r = 0; r < kRows; ++r) sum[r] = load(values + r * d + i);
    for (int64_t j = 0; j < keys; ++j) {
      const Vec value = load(v + j * d + i);
      for (int r = 0; r < kRows; ++r) sum[r] = fma(splat(p[r * kBlock + j]), value, sum[r]);
    }
    for (int r = 0; r < kRows; ++r) store(values + r * d + i, sum[r]);
  }
  for (; i < d; ++i)
    for (int r = 0; r < kRows; ++r)
      for (int64_t j = 0; j < keys; ++j) values[r * d + i] = fma(p[r * kBlock + j], v[j * d + i], values[r * d + i]);
}

struct Range {
  int64_t begin, end;
};

static bool all_finite(const float* x, int64_t n) {
  Vec sum = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum += load(x + i) * 0.0f;
  float rest = reduce_add(sum);
  for (; i < n; ++i) rest += x[i] * 0.0f;
  return rest == 0.0f;
}

struct Tile {
  const CpuCall* call;
  const Shapes* s;
  const int32_t* positions;
  int64_t kv_head, first_token, n_tokens;
  float *queries, *keys, *values, *scores;

  int64_t lowest(int64_t token) const {
    const int64_t p = positions[token];
    return s->window && p >= s->window ? p - s->window + 1 : 0;
  }

  // The positions in [begin, end) that a token sees.
  Range range(int64_t token, int64_t begin, int64_t end) const {
    const int64_t from = lowest(token), to = positions[token] + 1;
    return {from > begin ? from : begin, to < end ? to : end};
  }

  void load_queries() const {
    for (int64_t t = 0; t < n_tokens; ++t)
      for (int64_t g = 0; g < s->group; ++g) {
        const int64_t row = (first_token + t) * s->heads + kv_head * s->group + g;
        load_floats(call->in[0].row(row), call->in[0].dtype, queries + (t * s->group + g) * s->d, s->d);
      }
  }

  // Softmax state of the tile's rows over the keys of one split.
  void attend(int64_t split, const State& state) const {
    clear(state, *s);
    for (int64_t begin = split * kSplit; begin < (split + 1) * kSplit; begin += kBlock) {
      int64_t low = begin + kBlock, high = begin;  // keys of this block that any row sees
      for (int64_t t = first_token; t < first_token + n_tokens; ++t) {
        const Range seen = range(t, begin, begin + kBlock);
        if (seen.begin >= seen.end) continue;
        if (seen.begin < low) low = seen.begin;
        if (seen.end > high) high = seen.end;
      }
      if (low < high) attend_block(low, high, state);
    }
  }

  void attend_block(int64_t low, int64_t high, const State& state) const {
    const int64_t n = high - low, d = s->d, rows = n_tokens * s->group;
    const CpuTensor &k_cache = call->in[1], &v_cache = call->in[2];
    for (int64_t j = 0; j < n; ++j) {
      const int64_t row = (low + j) % s->slots * s->kv_heads + kv_head;
      load_floats(k_cache.row(row), k_cache.dtype, keys + j * d, d);
      load_floats(v_cache.row(row), v_cache.dtype, values + j * d, d);
    }
    const float* pointers[kTileQueries > 256 ? kTileQueries : 256];
    for (int64_t r = 0; r < rows; ++r) pointers[r] = queries + r * d;
    dot_all(keys, d, n, pointers, rows, d, scores, kBlock);
    for (int64_t r = 0; r < rows; ++r) weigh(r, low, n, state);
    if (n_tokens > 1 && !all_finite(values, n * d)) return add_seen_values(low, n, state);
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) add_values<4>(scores + r * kBlock, values, n, d, state.values + r * d);
    for (; r < rows; ++r) add_values<1>(scores + r * kBlock, values, n, d, state.values + r * d);
  }

  // A weight of 0 hides a key from a row only while its value is finite; here each row keeps to the keys it sees.
  void add_seen_values(int64_t low, int64_t n, const State& state) const {
    for (int64_t r = 0; r < n_tokens * s->group; ++r) {
      const Range seen = range(first_token + r / s->group, low, low + n);
      if (seen.begin < seen.end)
        add_values<1>(scores + r * kBlock + seen.begin - low, values + (seen.begin - low) * s->d, seen.end - seen.begin,
                      s->d, state.values + r * s->d);
    }
  }

  // Turns a row's scores into exponentials against its largest score so far; keys it does not see get 0.
  void weigh(int64_t r, int64_t low, int64_t n, const State& state) const {
    const float scale = static_cast<const AttentionParams*>(call->params)->scale;
    const Range visible = range(first_token + r / s->group, low, low + n);
    float* row = scores + r * kBlock;
    float top = state.top[r];
    for (int64_t j = 0; j < n; ++j) {
      const bool seen = low + j >= visible.begin && low + j < visible.end;
      row[j] = seen ? row[j] * scale : -__builtin_inff();
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

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && call.in[1].dtype == call.in[2].dtype &&
         is_activation(call.out[0].dtype) && call.in[0].dim[1] / call.in[1].dim[1] <= 256;
}

static int64_t workspace(const CpuCall& call) {
  const Shapes s = shapes_of(call);
  const int64_t partial = s.split_parallel ? s.kv_heads * s.max_splits * state_floats(s) : 0;
  return 4 * (partial + call.team->size * thread_floats(s));
}

static void launch(const CpuCall& call) {
  const Shapes s = shapes_of(call);
  const CpuTensor& out = call.out[0];
  const auto* positions = reinterpret_cast<const int32_t*>(call.in[3].data);
  const int64_t tiles = (s.tokens + s.tile_tokens - 1) / s.tile_tokens;
  auto* partials = reinterpret_cast<float*>(call.scratch);
  float* per_thread = partials + (s.split_parallel ? s.kv_heads * s.max_splits * state_floats(s) : 0);

  const auto tile_of = [&](int64_t kv_head, int64_t index, float* memory) {
    Tile t{&call, &s, positions, kv_head, index * s.tile_tokens, 0, nullptr, nullptr, nullptr, nullptr};
    t.n_tokens = s.tokens - t.first_token < s.tile_tokens ? s.tokens - t.first_token : s.tile_tokens;
    t.queries = memory;
    t.keys = t.queries + s.tile_rows * s.d;
    t.values = t.keys + kBlock * s.d;
    t.scores = t.values + kBlock * s.d;
    t.load_queries();
    return t;
  };
  const auto write = [&](const Tile& t, const State& total) {
    for (int64_t r = 0; r < t.n_tokens * s.group; ++r) {
      float* values = total.values + r * s.d;
      const float factor = 1.0f / total.sum[r];
      for (int64_t i = 0; i < s.d; ++i) values[i] *= factor;
      const int64_t row = (t.first_token + r / s.group) * s.heads + t.kv_head * s.group + r % s.group;
      store_floats(values, out.row(row), out.dtype, s.d);
    }
  };
  const auto states_of = [&](float* memory) { return memory + thread_floats(s) - 2 * state_floats(s); };

  if (s.split_parallel) {
    const int64_t p = positions[0];
    const int64_t first = (s.window && p >= s.window ? p - s.window + 1 : 0) / kSplit;
    const int64_t splits = p / kSplit - first + 1;
    parallel_for(*call.team, s.kv_heads * splits, [&](int64_t task, int thread) {
      const int64_t kv_head = task / splits, split = task % splits;
      const Tile t = tile_of(kv_head, 0, per_thread + thread * thread_floats(s));
      t.attend(first + split, state_at(partials + (kv_head * s.max_splits + split) * state_floats(s), s));
    });
    parallel_for(*call.team, s.kv_heads, [&](int64_t kv_head, int thread) {
      float* memory = per_thread + thread * thread_floats(s);
      const Tile t = tile_of(kv_head, 0, memory);
      const State total = state_at(states_of(memory), s);
      clear(total, s);
      for (int64_t split = 0; split < splits; ++split) {
        const State part = state_at(partials + (kv_head * s.max_splits + split) * state_floats(s), s);
        for (int64_t r = 0; r < s.group; ++r) merge(total, r, part, r, s.d);
      }
      write(t, total);
    });
    return;
  }

  parallel_for(*call.team, s.kv_heads * tiles, [&](int64_t task, int thread) {
    float* memory = per_thread + thread * thread_floats(s);
    const Tile t = tile_of(task / tiles, task % tiles, memory);
    const State total = state_at(states_of(memory), s), part = state_at(states_of(memory) + state_floats(s), s);
    int64_t low = t.lowest(t.first_token), high = positions[t.first_token];
    for (int64_t i = t.first_token; i < t.first_token + t.n_tokens; ++i) {
      if (t.lowest(i) < low) low = t.lowest(i);
      if (positions[i] > high) high = positions[i];
    }
    clear(total, s);
    for (int64_t split = low / kSplit; split <= high / kSplit; ++split) {
      t.attend(split, part);
      for (int64_t r = 0; r < t.n_tokens * s.group; ++r) merge(total, r, part, r, s.d);
    }
    write(t, total);
  });
}

extern const CpuKernel attention_kernel;
const CpuKernel attention_kernel{"attention", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
