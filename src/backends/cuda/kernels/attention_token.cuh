// What attention of one token does to the token's own rows: norm and rope of queries and key, norm of the value, into
// shared memory and into the cache; and its way through neighbouring chunks of keys.
#pragma once

#include "backends/cuda/kernels/attention_one.h"
#include "backends/cuda/kernels/attention_tile.cuh"
#include "backends/cuda/kernels/rows.cuh"

namespace g4::cuda {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

template <class S>
class AttentionToken : protected AttentionTile<S, false> {
 protected:
  using Base = AttentionTile<S, false>;
  using T = typename S::T;
  using Base::any;
  using Base::c;
  using Base::kv_head;
  using Base::lane;
  using Base::query_tile;
  using Base::shared;
  using Base::stage;
  using Base::warp;
  static constexpr int d = S::d, kPieces = d / kPiece, kLanePieces = (kPieces + kWarp - 1) / kWarp;
  static constexpr int kOwnBytes = 2 * S::kRowBytes;  // the token's key and value
  static constexpr DType kType = std::is_same_v<T, __half> ? DType::F16 : DType::BF16;
  using Pieces = float[kLanePieces][kPiece];  // of a row, a lane's

  __device__ __forceinline__ AttentionToken(const AttentionCall& call, const AttentionOne& token, std::byte* memory)
      : Base(call, memory), token_(token) {}

  // Chunks [first, first + count): tile 2 i holds the keys of the i-th and tile 2 i + 1 its values.
  struct Chunks {
    int first, count, fetched = 0;
  };
  __device__ __forceinline__ void fetch_next(Chunks& chunks) const {
    if (chunks.fetched < 2 * chunks.count) {
      const bool keys = chunks.fetched % 2 == 0;
      Base::fetch(stage(chunks.fetched % S::kStages),
                  (keys ? c.k + kv_head * c.k_head : c.v + kv_head * c.v_head), keys ? c.k_slot : c.v_slot,
                  chunks.first + chunks.fetched / 2);
    }
    commit_copies();
    ++chunks.fetched;
  }
  // All stages are on their way and the rows are made.
  __device__ __forceinline__ void attend(Chunks& chunks, bool has_last) {
    for (int tile = 0; tile < 2 * chunks.count; tile += 2) {
      const int chunk = chunks.first + tile / 2;
      const bool own = has_last && chunk == any.last_chunk();
      float part_top[2];
      const auto ready = [&](int t) {
        if (t == 0) {
          wait_copies<S::kStages - 1>();
        } else {
          wait_copies<S::kStages - 2>();
        }
        __syncthreads();
        if (t > 0) fetch_next(chunks);
        const uint32_t at = stage(t % S::kStages);
        if (own) {
          put_own(at, t % 2);
          __syncthreads();
        }
        return at;
      };
      Base::score(ready(tile));
      Base::mask(chunk * kChunk, part_top);
      Base::weigh(part_top);
      const uint32_t values = ready(tile + 1);
      Base::load_weights();
      Base::add_values(values, chunk, part_top);
    }
    wait_copies<0>();
    __syncthreads();
  }

  __device__ __forceinline__ void clear_queries() const {
    auto* const rows = reinterpret_cast<uint4*>(shared);
    for (int i = c.group * S::kRowBytes / 16 + static_cast<int>(threadIdx.x); i < S::kQueryBytes / 16; i += S::kThreads)
      rows[i] = make_uint4(0, 0, 0, 0);
  }

  // --- the token's own rows ---

  __device__ __forceinline__ std::byte* own_row(int which) const {
    return shared + S::kSharedBytes + which * S::kRowBytes;
  }
  // Into its place among a chunk's keys (0) or values (1).
  __device__ __forceinline__ void put_own(uint32_t tile, int which) const {
    const auto segment = static_cast<int>(threadIdx.x);
    if (segment >= S::kRowBytes / 16) return;
    const int row = any.high % kChunk;
    *reinterpret_cast<uint4*>(shared + (tile - query_tile()) + tile_offset<S>(row, segment)) =
        reinterpret_cast<const uint4*>(own_row(which))[segment];
  }

  // A warp a row: queries into their tile; the token's key and value. `turns`: queries are raw; `own`: so are the key and
  // the value, else they lie in the cache. load(which, row, pieces): a query (-1), the key (0) or the value (1) as it is.
  template <class Load>
  __device__ __forceinline__ void make_rows(bool has_last, bool turns, bool own, const Pieces& q_weight,
                                            const Load& load) const {
    Pieces cosine, sine;
    if (turns) load_turns(cosine, sine);
    const int rows = c.group + (has_last ? 2 : 0);
#pragma unroll 1
    for (int row = warp; row < rows; row += S::kWarps) {
      Pieces x;
      const int which = row - c.group;
      if (which < 0 ? !turns : !own) {
        copy_row(which < 0 ? c.q + (kv_head * c.group + row) * c.q_head : cache_row(which), [&](int piece) {
          return which < 0 ? shared + tile_offset<S>(row, piece) : own_row(which) + piece * 16;
        });
        continue;
      }
      load(max(which, -1), which < 0 ? row : 0, x);
      Pieces weight;
      if (which < 0) {
#pragma unroll
        for (int j = 0; j < kLanePieces; ++j)
#pragma unroll
          for (int i = 0; i < kPiece; ++i) weight[j][i] = q_weight[j][i];
      } else {
        load_weight(which ? nullptr : token_.k_weight, weight);
      }
      norm(x, weight, which < 0 ? token_.q_eps : which ? token_.v_eps : token_.k_eps);
      if (which < 1) turn(x, cosine, sine);
#pragma unroll
      for (int j = 0; j < kLanePieces; ++j) {
        const int piece = lane + j * kWarp;
        if (piece >= kPieces) continue;
        if (which < 0) {
          store_piece(shared + tile_offset<S>(row, piece), kType, 0, x[j]);
        } else {
          store_piece(own_row(which), kType, piece * kPiece, x[j]);
          store_piece(cache_row(which), kType, piece * kPiece, x[j]);
        }
      }
    }
  }
  // As it is: a store of numbers would change what is not finite.
  template <class Place>
  __device__ __forceinline__ void copy_row(const std::byte* from, const Place& place) const {
    for (int piece = lane; piece < kPieces; piece += kWarp)
      *reinterpret_cast<uint4*>(place(piece)) = *reinterpret_cast<const uint4*>(from + piece * 16);
  }
  __device__ __forceinline__ std::byte* cache_row(int which) const {
    const int slot = any.high % c.slots;
    return const_cast<std::byte*>(which ? c.v + slot * c.v_slot + kv_head * c.v_head
                                        : c.k + slot * c.k_slot + kv_head * c.k_head);
  }
  __device__ __forceinline__ void load_row(const std::byte* from, Pieces& x) const {
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      const int piece = lane + j * kWarp;
      if (piece < kPieces) {
        load_piece(from, kType, piece * kPiece, x[j]);
      } else {
#pragma unroll
        for (int i = 0; i < kPiece; ++i) x[j][i] = 0;
      }
    }
  }
  // Of a norm; nullptr: ones.
  __device__ __forceinline__ void load_weight(const float* weight, Pieces& w) const {
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      const int piece = lane + j * kWarp;
      if (weight && piece < kPieces) {
        load_piece(reinterpret_cast<const std::byte*>(weight), DType::F32, piece * kPiece, w[j]);
      } else {
#pragma unroll
        for (int i = 0; i < kPiece; ++i) w[j][i] = 1.0f;
      }
    }
  }
  __device__ __forceinline__ static int pair_of(int piece) {
    return (piece < kPieces / 2 ? piece : piece - kPieces / 2) * kPiece;
  }
  __device__ __forceinline__ void load_turns(Pieces& cosine, Pieces& sine) const {
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      const int pair = pair_of(min(lane + j * kWarp, kPieces - 1));
      load_piece(token_.turns, token_.turns_type, pair, cosine[j]);
      load_piece(token_.turns, token_.turns_type, d / 2 + pair, sine[j]);
    }
  }
  // kernels/rms_norm.cu's sums in its order, rounded to T.
  __device__ __forceinline__ void norm(Pieces& x, const Pieces& w, float eps) const {
    float sums = 0;
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      float squares = 0;
#pragma unroll
      for (int i = 0; i < kPiece; ++i) squares = fmaf(x[j][i], x[j][i], squares);
      squares = warp_sum(squares);
      sums = j ? sums + squares : squares;
    }
    const float factor = 1.0f / sqrtf(sums / static_cast<float>(d) + eps);
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j)
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[j][i] = rounded<T>(__fmul_rn(__fmul_rn(x[j][i], factor), w[j][i]));
  }
  __device__ __forceinline__ static float inner(bool rounds, float x) { return rounds ? rounded<T>(x) : x; }
  // A piece's partner lies half a head away: in another lane, or in this lane's other piece.
  __device__ __forceinline__ void turn(Pieces& x, const Pieces& cosine, const Pieces& sine) const {
    const bool rounds = token_.inner == kType;  // else float32: attention_one_fits
    Pieces turned;
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      const bool low = lane + j * kWarp < kPieces / 2;
#pragma unroll
      for (int i = 0; i < kPiece; ++i) {
        const float partner =
            kLanePieces > 1 ? x[kLanePieces - 1 - j][i] : __shfl_xor_sync(kAllLanes, x[j][i], kPieces / 2 % kWarp);
        const float direct = inner(rounds, __fmul_rn(x[j][i], cosine[j][i]));
        const float crossed = inner(rounds, __fmul_rn(partner, sine[j][i]));
        turned[j][i] = low ? __fsub_rn(direct, crossed) : __fadd_rn(direct, crossed);
      }
    }
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j)
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[j][i] = rounded<T>(turned[j][i]);
  }

  const AttentionOne& token_;
};

#endif

}  // namespace g4::cuda
