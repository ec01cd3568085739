// Attention of one token in a resident kernel, two jobs. The first: blocks share a head of keys' chunks, each goes
// through neighbours and leaves its part as messages. The second: every block merges some columns of all heads.
#pragma once

#include "backends/cuda/kernels/attention_token.cuh"
#include "backends/cuda/phase_rows.cuh"
#include "backends/cuda/resident_messages.cuh"

namespace g4::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// How the chunks of a head of keys are shared: by so many blocks, so many each.
struct ChunkShares {
  int first, chunks, each, live;
  __device__ __forceinline__ ChunkShares(const ResidentAttention& a, Sight sight) {
    first = sight.first_chunk();
    chunks = sight.last_chunk() - first + 1;
    each = (chunks + a.splits - 1) / a.splits;
    live = (chunks + each - 1) / each;
  }
};

template <class S>
class ResidentAttentionTile : AttentionToken<S, ResidentAttention> {
  using Base = AttentionToken<S, ResidentAttention>;
  using typename Base::Chunks;
  using typename Base::Pieces;
  using Base::any;
  using Base::c;
  using Base::d;
  using Base::kLanePieces;
  using Base::kPieces;
  using Base::kv_head;
  using Base::lane;
  using Base::sum;
  using Base::top;
  using Base::total;
  using Base::warp;

 public:
  __device__ __forceinline__ ResidentAttentionTile(const ResidentAttention& job, const Inbox& inbox, std::byte* memory,
                                                   int head)
      : Base(job.c, job, memory, head, 0), job_(job), inbox_(inbox) {}

  __device__ __forceinline__ void run(int split, uint32_t tag) {
    const ChunkShares shares(job_, any);
    if (split >= shares.live) return;
    Chunks keys{shares.first + split * shares.each, min(shares.each, shares.chunks - split * shares.each)};
    const bool has_last = split == shares.live - 1;
#pragma unroll 1
    for (int i = 0; i < S::kStages; ++i) Base::fetch_next(keys);
    Base::clear_queries();
    Pieces weight;
    Base::load_weight(job_.q_weight, weight);
    Base::make_rows(has_last, true, job_.own, weight, [&](int which, int row, Pieces& x) {
      const ResidentSource& from = which < 0 ? job_.q : which ? job_.v : job_.k;
      const int first = (which < 0 ? kv_head * c.group + row : kv_head) * d;
#pragma unroll
      for (int j = 0; j < kLanePieces; ++j) {
        const int piece = lane + j * kWarp;
        const uint4 bits =
            piece < kPieces ? inbox_.bf16_piece(from, first + piece * kPiece) : make_uint4(0, 0, 0, 0);
        unpack(bits, x[j]);
      }
      __syncwarp();
    });
    if (has_last && job_.own) __threadfence();  // later layers may read this key and value
    meet<S::kThreads>();
    Base::attend(keys, has_last);

    const int64_t part = (static_cast<int64_t>(kv_head) * job_.splits + split) * 16;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = lane / 4 + 8 * i;
      if (row >= c.group) continue;
      if (warp == 0 && lane % 4 == 0)
        send_two_words(job_.peaks + (part + row) * 2 * kMessageWord, __float_as_uint(top[i]), __float_as_uint(sum[i]),
                       tag);
#pragma unroll
      for (int n = 0; n < S::kColumnTiles; ++n) {
        const int column = (warp * S::kColumnTiles + n) * 8 + lane % 4 * 2;
        send_two_words(job_.parts + ((part + row) * d + column) * kMessageWord, __float_as_uint(total[n][2 * i]),
                       __float_as_uint(total[n][2 * i + 1]), tag);
      }
    }
  }

 private:
  const ResidentAttention& job_;
  const Inbox& inbox_;
};

// Two columns of a row, merged so far.
struct MergedPair {
  float top = -INFINITY, sum = 0, first = 0, second = 0;
  __device__ __forceinline__ void add(float part_top, float part_sum, float a, float b) {
    const Merge m(top, part_top);
    top = m.top;
    sum = merged(sum, part_sum, m.keep, m.take);
    first = merged(first, a, m.keep, m.take);
    second = merged(second, b, m.keep, m.take);
  }
};

// `parts_tag`: of the parts; `tag`: of what this leaves.
__device__ __forceinline__ void merge_parts(const ResidentAttention& a, uint32_t parts_tag, uint32_t tag) {
  const AttentionCall& c = a.c;
  const ChunkShares shares(a, sight_of(c, 0));
  const int thread = static_cast<int>(threadIdx.x), lane = thread % a.lanes, pairs = c.heads * c.d / 2;
  const int unit = static_cast<int>(blockIdx.x) * a.units + thread / a.lanes;
  const bool inside = thread / a.lanes < a.units && unit < pairs;
  const int head = inside ? unit * 2 / c.d : 0, column = inside ? unit * 2 % c.d : 0;
  const int kv_head = head / c.group, row = head % c.group;
  MergedPair merged_pair;
  constexpr int kAtOnce = 4;
  for (int first = lane; first < shares.live; first += a.lanes * kAtOnce) {
    uint4 part[kAtOnce], peak[kAtOnce];
    bool come = !inside;
    for (int patience = kPatience; !come; --patience) {
      come = true;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int split = first + i * a.lanes;
        if (split >= shares.live) continue;
        const int64_t at = (static_cast<int64_t>(kv_head) * a.splits + split) * 16 + row;
        part[i] = read_two_words(a.parts + (at * c.d + column) * kMessageWord);
        peak[i] = read_two_words(a.peaks + at * 2 * kMessageWord);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
        come = come && (first + i * a.lanes >= shares.live || (part[i].y == parts_tag && part[i].w == parts_tag &&
                                                               peak[i].y == parts_tag && peak[i].w == parts_tag));
      if (patience == 0) __trap();
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (inside && first + i * a.lanes < shares.live)
        merged_pair.add(__uint_as_float(peak[i].x), __uint_as_float(peak[i].z), __uint_as_float(part[i].x),
                        __uint_as_float(part[i].z));
  }
  __syncwarp();
  for (int step = 1; step < a.lanes; step *= 2) {
    const float top = __shfl_xor_sync(kAllLanes, merged_pair.top, step),
                sum = __shfl_xor_sync(kAllLanes, merged_pair.sum, step),
                x = __shfl_xor_sync(kAllLanes, merged_pair.first, step),
                y = __shfl_xor_sync(kAllLanes, merged_pair.second, step);
    merged_pair.add(top, sum, x, y);
  }
  if (!inside || lane) return;
  const float factor = __fdiv_rn(1.0f, merged_pair.sum);
  const uint32_t bits = pair_bits<__nv_bfloat16>(__fmul_rn(merged_pair.first, factor),
                                                 __fmul_rn(merged_pair.second, factor));
  if (a.out) send_word(a.out + unit * kMessageWord, bits, tag);
  if (a.plain_out) reinterpret_cast<uint32_t*>(a.plain_out)[unit] = bits;
}

#endif

}  // namespace g4::cuda
