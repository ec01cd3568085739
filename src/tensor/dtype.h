// Element and block formats: what a tensor's bytes mean. Ids are GGUF's (ggml_type); sizes follow its block layouts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace g4 {

enum class DType : uint8_t {
  F32,
  F16,
  BF16,
  I32,
  Q8_0,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  IQ4_NL,
  IQ4_XS,
  MXFP4,
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as GGUF tools print it: "Q4_K"
  uint32_t gguf_id;       // ggml_type
  int64_t block_size;     // elements per block
  int64_t block_bytes;    // bytes per block
};

const DTypeInfo& info(DType dtype);
std::span<const DTypeInfo> all_dtypes();

inline std::string_view name(DType dtype) { return info(dtype).name; }
inline int64_t block_size(DType dtype) { return info(dtype).block_size; }
inline int64_t block_bytes(DType dtype) { return info(dtype).block_bytes; }
inline bool is_quantized(DType dtype) { return block_size(dtype) > 1; }
inline bool is_float(DType dtype) { return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16; }

// Bytes of `elements` consecutive elements; `elements` is a multiple of the block size.
inline int64_t row_bytes(DType dtype, int64_t elements) { return elements / block_size(dtype) * block_bytes(dtype); }

// nullptr when this engine does not know the id.
const DTypeInfo* find_gguf_type(uint32_t gguf_id);
// What GGUF calls a type id, known to this engine or not ("IQ2_XXS", "type 99").
std::string gguf_type_name(uint32_t gguf_id);

}  // namespace g4
