// attention: see ops/attention.h. Online softmax (Milakov & Gimelshein 2018) over blocks of keys.
//
// Positions are cut at multiples of kSplit and, inside a split, of a block, wherever a query's range begins: a query
// meets the same blocks in the same order in every batch. A split yields (max, sum, weighted values); splits are merged
// in order. One token alone spreads its splits over the threads; a prefill chunk spreads tiles of queries.
#include "backends/cpu/kernels/attention_floats.h"
#include "backends/cpu/kernels/attention_matrix.h"
#include "backends/cpu/kernels/attention_whole.h"
#include "backends/cpu/kernels/cache_types.h"

namespace g4::G4_ISA_NAMESPACE {

// Softmax state of the tile's rows over the keys of one split.
template <class Tile>
static void attend(const Tile& tile, int64_t split, const State& state) {
  clear(state, *tile.s);
  for (int64_t begin = split * kSplit; begin < (split + 1) * kSplit; begin += Tile::kBlock) {
    const Range seen = tile.seen(begin, begin + Tile::kBlock);
    if (seen.begin < seen.end) tile.attend_block(begin, seen, state);
  }
}

// Writes the tile's outputs; `row` holds one.
template <class Tile>
static void write(const Tile& tile, const State& total, float* row) {
  const KernelTensor& out = tile.call->out[0];
  for (int64_t r = 0; r < tile.rows(); ++r) {
    const float* values = total.values + r * tile.s->d;
    const float factor = 1.0f / total.sum[r];
    for (int64_t i = 0; i < tile.s->d; ++i) row[i] = values[Tile::value_index(i)] * factor;
    store_floats(row, out.row(tile.tensor_row(r)), out.dtype, tile.s->d);
  }
}

// Floats: the partial states of a lone token, then per thread a tile's scratch, two states and a row.
template <class Tile>
struct Scratch {
  Shapes s;
  int64_t partials, tile, thread;
  explicit Scratch(const CpuCall& call) : s(shapes_of(call, Tile::kRowStep)) {
    partials = s.split_parallel ? s.kv_heads * s.max_splits * state_floats(s) : 0;
    tile = Tile::scratch_floats(s);
    thread = tile + 2 * state_floats(s) + s.d;
  }
};

template <class Tile>
static int64_t workspace_with(const CpuCall& call) {
  const Scratch<Tile> scratch(call);
  return 4 * (scratch.partials + call.team->size * scratch.thread);
}

template <class Tile>
static void launch_with(const CpuCall& call) {
  const Scratch<Tile> scratch(call);
  const Shapes& s = scratch.s;
  const auto* positions = reinterpret_cast<const int32_t*>(call.in[3].data);
  const auto* last = call.n_in > 4 ? reinterpret_cast<const int32_t*>(call.in[4].data) : positions;
  auto* partials = reinterpret_cast<float*>(call.scratch);
  const auto memory_of = [&](int thread) { return partials + scratch.partials + thread * scratch.thread; };
  const auto state_of = [&](int thread, int64_t i) {
    return state_at(memory_of(thread) + scratch.tile + i * state_floats(s), s);
  };
  const auto row_of = [&](int thread) { return memory_of(thread) + scratch.thread - s.d; };
  const auto queries_of = [&](int64_t kv_head, int64_t index) {
    const int64_t first = index * s.tile_tokens, left = s.tokens - first;
    return QueryTile{&call, &s, positions, last, kv_head, first, left < s.tile_tokens ? left : s.tile_tokens};
  };

  if (s.split_parallel) {
    const int64_t p = positions[0];
    const int64_t first = (s.window && p >= s.window ? p - s.window + 1 : 0) / kSplit;
    const int64_t splits = last[0] / kSplit - first + 1;
    const auto partial = [&](int64_t kv_head, int64_t split) {
      return state_at(partials + (kv_head * s.max_splits + split) * state_floats(s), s);
    };
    parallel_for(*call.team, s.kv_heads * splits, [&](int64_t task, int thread) {
      const int64_t kv_head = task / splits, split = task % splits;
      attend(Tile(queries_of(kv_head, 0), memory_of(thread)), first + split, partial(kv_head, split));
    });
    parallel_for(*call.team, s.kv_heads, [&](int64_t kv_head, int thread) {
      const Tile tile(queries_of(kv_head, 0), memory_of(thread));
      const State total = state_of(thread, 0);
      clear(total, s);
      for (int64_t split = 0; split < splits; ++split)
        for (int64_t r = 0; r < s.group; ++r) merge(total, partial(kv_head, split), r, s.d);
      write(tile, total, row_of(thread));
    });
    return;
  }

  const int64_t tiles = (s.tokens + s.tile_tokens - 1) / s.tile_tokens;
  parallel_for(*call.team, s.kv_heads * tiles, [&](int64_t task, int thread) {
    const Tile tile(queries_of(task / tiles, task % tiles), memory_of(thread));
    const State total = state_of(thread, 0), part = state_of(thread, 1);
    const Range all = tile.seen(0, INT64_MAX);
    clear(total, s);
    for (int64_t split = all.begin / kSplit; split * kSplit < all.end; ++split) {
      attend(tile, split, part);
      for (int64_t r = 0; r < tile.rows(); ++r) merge(total, part, r, s.d);
    }
    write(tile, total, row_of(thread));
  });
}

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_cache(call.in[1]) && call.in[1].dtype == call.in[2].dtype &&
         is_activation(call.out[0].dtype) && call.in[0].dim[1] / call.in[1].dim[1] <= 256;
}

static int64_t workspace(const CpuCall& call) {
#if defined(__AMX_BF16__)
  if (WholeAttention::supports(call)) return WholeAttention(call).workspace();
  if (MatrixTile::supports(call)) return workspace_with<MatrixTile>(call);
#endif
  return workspace_with<FloatTile>(call);
}

static void launch(const CpuCall& call) {
#if defined(__AMX_BF16__)
  if (WholeAttention::supports(call)) return WholeAttention(call).run();
  if (MatrixTile::supports(call)) return launch_with<MatrixTile>(call);
#endif
  launch_with<FloatTile>(call);
}

extern const CpuKernel attention_kernel;
const CpuKernel attention_kernel{"attention", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
