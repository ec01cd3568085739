#include "tensor/dtype.h"

#include <array>

#include "base/error.h"

namespace g4 {
namespace {

constexpr std::array kTypes = {
    DTypeInfo{DType::F32, "F32", 0, 1, 4},          DTypeInfo{DType::F16, "F16", 1, 1, 2},
    DTypeInfo{DType::BF16, "BF16", 30, 1, 2},       DTypeInfo{DType::I32, "I32", 26, 1, 4},
    DTypeInfo{DType::Q8_0, "Q8_0", 8, 32, 34},      DTypeInfo{DType::Q4_0, "Q4_0", 2, 32, 18},
    DTypeInfo{DType::Q4_1, "Q4_1", 3, 32, 20},      DTypeInfo{DType::Q5_0, "Q5_0", 6, 32, 22},
    DTypeInfo{DType::Q5_1, "Q5_1", 7, 32, 24},      DTypeInfo{DType::Q2_K, "Q2_K", 10, 256, 84},
    DTypeInfo{DType::Q3_K, "Q3_K", 11, 256, 110},   DTypeInfo{DType::Q4_K, "Q4_K", 12, 256, 144},
    DTypeInfo{DType::Q5_K, "Q5_K", 13, 256, 176},   DTypeInfo{DType::Q6_K, "Q6_K", 14, 256, 210},
    DTypeInfo{DType::IQ4_NL, "IQ4_NL", 20, 32, 18}, DTypeInfo{DType::IQ4_XS, "IQ4_XS", 23, 256, 136},
    DTypeInfo{DType::MXFP4, "MXFP4", 39, 32, 17},
};

// Ids that GGUF defines and this engine does not read, named so that an error can name them.
constexpr std::array<std::pair<uint32_t, std::string_view>, 20> kForeign = {{
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},  {19, "IQ1_S"},    {21, "IQ3_S"},
    {22, "IQ2_S"}, {24, "I8"},    {25, "I16"},     {27, "I64"},    {28, "F64"},      {29, "IQ1_M"},    {34, "TQ1_0"},
    {35, "TQ2_0"}, {40, "NVFP4"}, {4, "Q4_2"},     {5, "Q4_3"},    {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"},
}};

}  // namespace

const DTypeInfo& info(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  G4_CHECK(index < kTypes.size());
  return kTypes[index];
}

std::span<const DTypeInfo> all_dtypes() { return kTypes; }

const DTypeInfo* find_gguf_type(uint32_t gguf_id) {
  for (const DTypeInfo& t : kTypes)
    if (t.gguf_id == gguf_id) return &t;
  return nullptr;
}

std::string gguf_type_name(uint32_t gguf_id) {
  if (const DTypeInfo* t = find_gguf_type(gguf_id)) return std::string(t->name);
  for (const auto& [id, name] : kForeign)
    if (id == gguf_id) return std::string(name);
  return "type " + std::to_string(gguf_id);
}

}  // namespace g4
