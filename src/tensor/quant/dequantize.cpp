// dequantize(): the block decoders compiled for the baseline instruction set.
#include "base/error.h"
#include "tensor/quant/decode.h"
#include "tensor/quant/quant.h"

namespace g4 {

void dequantize(DType dtype, const std::byte* source, float* target, int64_t elements) {
  const generic::RowDecoder decode = generic::row_decoder(dtype);
  if (!decode) fail<ArgumentError>("dequantize", name(dtype), " is not a weight format");
  if (elements < 0 || elements % block_size(dtype) != 0)
    fail<ArgumentError>("dequantize", name(dtype), ": a multiple of ", block_size(dtype), " elements expected, ",
                        elements, " given");
  decode(source, target, elements);
}

}  // namespace g4
