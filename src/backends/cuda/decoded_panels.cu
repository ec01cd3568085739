#include "backends/cuda/decoded_panels.cuh"
#include "backends/cuda/decoded_panels.h"

namespace g4::cuda {
namespace {

struct Decoder {
  void (*kernel)(DecodeCall) = nullptr;
  int columns = 0;
};

template <DType kType>
Decoder decoder_of() {
  return {decode_panels<kType, __nv_bfloat16>, DecodeShape<kType>::kColumns};
}

Decoder decoder(DType dtype) {
  switch (dtype) {
    case DType::Q4_0:
      return decoder_of<DType::Q4_0>();
    case DType::Q4_1:
      return decoder_of<DType::Q4_1>();
    case DType::Q5_0:
      return decoder_of<DType::Q5_0>();
    case DType::Q5_1:
      return decoder_of<DType::Q5_1>();
    case DType::Q8_0:
      return decoder_of<DType::Q8_0>();
    case DType::Q4_K:
      return decoder_of<DType::Q4_K>();
    case DType::Q5_K:
      return decoder_of<DType::Q5_K>();
    case DType::Q6_K:
      return decoder_of<DType::Q6_K>();
    case DType::IQ4_NL:
      return decoder_of<DType::IQ4_NL>();
    case DType::IQ4_XS:
      return decoder_of<DType::IQ4_XS>();
    case DType::MXFP4:
      return decoder_of<DType::MXFP4>();
    default:
      return {};
  }
}

int64_t matrices_of(const Product& p) { return p.choices ? p.w.dim[0] : 1; }
int64_t pieces_of(const Product& p, const Decoder& d) { return (p.k + d.columns - 1) / d.columns; }

}  // namespace

int64_t decoded_bytes(const Product& p) { return matrices_of(p) * p.n * p.k * 2; }

bool can_decode(const Product& p) {
  const Decoder d = decoder(p.w.dtype);
  return p.w.panels && p.x.dtype == DType::BF16 && d.kernel && p.k % 32 == 0 && p.n % kPanelRows == 0 &&
         matrices_of(p) * (p.n / kPanelRows) * pieces_of(p, d) <= INT32_MAX;
}

void decode_matrices(const Product& p, std::byte* to, const Call& call) {
  const Decoder d = decoder(p.w.dtype);
  const int64_t panels = p.n / kPanelRows, pieces = pieces_of(p, d);
  const DecodeCall c{p.w.data,
                     to,
                     p.choices ? p.w.stride[0] : 0,
                     static_cast<int>(panels),
                     static_cast<int>(pieces),
                     static_cast<int>(p.k)};
  launch_overlapped(d.kernel, call.limits->architecture, static_cast<unsigned>(matrices_of(p) * panels * pieces), 256,
                    0, call.stream, "decoding panels", c);
}

}  // namespace g4::cuda
