// Messages between the blocks of a resident kernel (resident.h): a word is 32 bits of numbers, one or two, beside a
// tag, stored at once, so that a reader who finds the tag it waits for has the numbers too and no fence is needed. (The
// scheme is NCCL's "LL" protocol.) What never comes is an error of the program: the kernel stops rather than hang.
#pragma once

#include "backends/cuda/kernels/rows.cuh"
#include "backends/cuda/resident.h"

namespace g4::cuda {

inline constexpr int kPatience = 1 << 24;  // readings of a word, several seconds

__device__ __forceinline__ uint4 read_two_words(const std::byte* at) {
  uint4 v;
  asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(at)
               : "memory");
  return v;
}
__device__ __forceinline__ void send_word(std::byte* to, uint32_t numbers, uint32_t tag) {
  asm volatile("st.volatile.global.v2.u32 [%0], {%1, %2};" ::"l"(to), "r"(numbers), "r"(tag) : "memory");
}
__device__ __forceinline__ void send_two_words(std::byte* to, uint32_t first, uint32_t second, uint32_t tag) {
  asm volatile("st.volatile.global.v4.u32 [%0], {%1, %3, %2, %3};" ::"l"(to), "r"(first), "r"(second), "r"(tag)
               : "memory");
}

// Words [0, 2 * kPairs) from `at` on, when all have come.
template <int kPairs>
__device__ __forceinline__ void receive(const std::byte* at, uint32_t tag, uint32_t (&numbers)[2 * kPairs]) {
  uint4 words[kPairs];
  for (int patience = kPatience; patience > 0; --patience) {
    bool come = true;
#pragma unroll
    for (int i = 0; i < kPairs; ++i) words[i] = read_two_words(at + i * 2 * kMessageWord);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) come = come && words[i].y == tag && words[i].w == tag;
    if (come) {
#pragma unroll
      for (int i = 0; i < kPairs; ++i) numbers[2 * i] = words[i].x, numbers[2 * i + 1] = words[i].z;
      return;
    }
  }
  __trap();
}
__device__ __forceinline__ uint32_t receive_word(const std::byte* at, uint32_t tag) {
  for (int patience = kPatience; patience > 0; --patience) {
    uint32_t number, found;
    asm volatile("ld.volatile.global.v2.u32 {%0, %1}, [%2];" : "=r"(number), "=r"(found) : "l"(at) : "memory");
    if (found == tag) return number;
  }
  __trap();
}

// What a block knows of the others: the tags of this launch, and its own kept rows.
struct Inbox {
  uint32_t before;  // the launch's first tag
  std::byte* kept;

  __device__ __forceinline__ uint32_t tag_of(int job) const { return before + static_cast<uint32_t>(job); }

  // Eight bfloat16 numbers from `column` on, a multiple of 8, of this thread's own piece of a row.
  __device__ __forceinline__ uint4 bf16_piece(const ResidentSource& from, int column) const {
    if (from.from == ResidentSource::From::Message) {
      uint32_t numbers[4];
      receive<2>(from.data + column / 2 * kMessageWord, tag_of(from.maker), numbers);
      return make_uint4(numbers[0], numbers[1], numbers[2], numbers[3]);
    }
    const std::byte* const row = from.from == ResidentSource::From::Kept ? kept + from.kept_at : from.data;
    return *reinterpret_cast<const uint4*>(row + 2 * column);
  }
  // Number `index` of a row of bfloat16 or float32 numbers.
  __device__ __forceinline__ float number(const ResidentSource& from, int index) const {
    if (from.from != ResidentSource::From::Message)
      return load(from.from == ResidentSource::From::Kept ? kept + from.kept_at : from.data, from.type, index);
    if (from.type == DType::F32)
      return __uint_as_float(receive_word(from.data + index * kMessageWord, tag_of(from.maker)));
    const uint32_t pair = receive_word(from.data + index / 2 * kMessageWord, tag_of(from.maker));
    return __uint_as_float(index % 2 ? pair & 0xffff0000u : pair << 16);
  }
};

}  // namespace g4::cuda
