// Activations for products with panels in decode: 16-bit integers, a float32 scale to every 32 of them.
//
// For a block with largest magnitude a: scale = a / 32256, q = round(x * (32256 / a)), to nearest even, kept as two
// signed bytes q = 256 high + low, so that two byte products a word of weights sum exactly. 32256 = 32 * 1008: what is
// exact in the CPU's 11 bits is exact here, and the rounding is 32 times smaller. A block that holds what is not finite
// has scale NaN; one below 1e-30 counts as 0.
// A record of 80 bytes a block: 32 high bytes, 32 low bytes, the scale, the sums of q over either half and over both.
#pragma once

#include "backends/cuda/device_numbers.cuh"

namespace g4::cuda {

inline constexpr int kActBlock = 32;
inline constexpr int kRecord = 5;  // in pieces of 16 bytes
inline constexpr float kActLevels = 32256.0f;

// Eight activations from `index` on, a multiple of 8; 16 bytes at a time where the row begins at such an address.
__device__ __forceinline__ void load_eight(const std::byte* row, DType dtype, int index, float* out) {
  const std::byte* at = row + static_cast<int64_t>(index) * element_bytes(dtype);
  if (reinterpret_cast<uintptr_t>(at) % 16) {
#pragma unroll
    for (int i = 0; i < 8; ++i) out[i] = load(at, dtype, i);
    return;
  }
  const auto* pieces = reinterpret_cast<const uint4*>(at);
  const uint4 a = pieces[0];
  const uint32_t words[4] = {a.x, a.y, a.z, a.w};
  if (dtype == DType::F32) {
    const uint4 b = pieces[1];
    const uint32_t more[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out[i] = __uint_as_float(words[i]);
      out[4 + i] = __uint_as_float(more[i]);
    }
  } else if (dtype == DType::BF16) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out[2 * i] = __uint_as_float(words[i] << 16);
      out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out[2 * i] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i])));
      out[2 * i + 1] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] >> 16)));
    }
  }
}

// Four neighbouring lanes turn a block into a record, eight elements each; the whole warp calls it.
__device__ __forceinline__ void quantize_eight(const float* x, uint4* record, bool wanted) {
  const int part = threadIdx.x % 4;
  uint32_t top = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) top = max(top, __float_as_uint(x[i]) & 0x7fffffffu);
  top = max(top, __shfl_xor_sync(kAllLanes, top, 1));
  top = max(top, __shfl_xor_sync(kAllLanes, top, 2));
  const float largest = __uint_as_float(top);
  const bool zero = largest < 1e-30f, finite = top < 0x7f800000u;
  const float inverse = zero || !finite ? 0.0f : kActLevels * __frcp_rn(largest);

  // Adding 1.5 * 2^23 leaves the rounded integer in the low bits; 128 more makes the second byte `high` and the first
  // `low` + 128.
  constexpr float kShift = 12582912.0f + 128.0f;
  uint32_t high[2], low[2];
#pragma unroll
  for (int w = 0; w < 2; ++w) {
    uint32_t bits[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) bits[i] = __float_as_uint(__fmaf_rn(x[4 * w + i], inverse, kShift));
    const uint32_t first = __byte_perm(bits[0], bits[1], 0x5140), second = __byte_perm(bits[2], bits[3], 0x5140);
    low[w] = __byte_perm(first, second, 0x5410) ^ 0x80808080u;
    high[w] = __byte_perm(first, second, 0x7632);
  }
  constexpr int kOnes = 0x01010101;
  const int highs = __dp4a(static_cast<int>(high[1]), kOnes, __dp4a(static_cast<int>(high[0]), kOnes, 0));
  const int lows = __dp4a(static_cast<int>(low[1]), kOnes, __dp4a(static_cast<int>(low[0]), kOnes, 0));
  int sum = highs * 256 + lows;
  sum += __shfl_xor_sync(kAllLanes, sum, 1);
  const int other = __shfl_xor_sync(kAllLanes, sum, 2);
  if (!wanted) return;
  auto* pairs = reinterpret_cast<uint2*>(record);
  pairs[part] = {high[0], high[1]};
  pairs[4 + part] = {low[0], low[1]};
  if (part == 0) {
    const float scale = zero ? 0.0f : finite ? largest * (1.0f / kActLevels) : __uint_as_float(0x7fc00000u);
    record[4] = {__float_as_uint(scale), static_cast<uint32_t>(sum), static_cast<uint32_t>(other),
                 static_cast<uint32_t>(sum + other)};
  }
}

// A block of threads turns a row into records; `row` nullptr: zeros.
__device__ __forceinline__ void quantize_row(const std::byte* row, DType dtype, int k, uint4* records) {
  const int blocks = k / kActBlock, warps = static_cast<int>(blockDim.x) / kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int first = warp * 8; first < blocks; first += warps * 8) {
    const int block = first + lane / 4;
    const bool wanted = block < blocks;
    float x[8] = {};
    if (wanted && row) load_eight(row, dtype, block * kActBlock + lane % 4 * 8, x);
    quantize_eight(x, records + block * kRecord, wanted);
  }
}

}  // namespace g4::cuda
