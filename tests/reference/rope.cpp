// rope_table and rope. The angle is the one float32 product of the reference: the model is defined by it, and at
// position 100,000 a double-precision angle would be another rotation.
#include "ops/rope.h"

#include <cmath>

#include "reference/kernels.h"
#include "reference/numbers.h"

namespace g4::reference {

void rope_table(const OpCall& call) {
  const std::vector<int32_t> positions = read_ints(call.inputs[0], 0);
  const Row inv_freq = read_row(call.inputs[1], 0);
  const size_t half = inv_freq.size();
  for (size_t t = 0; t < positions.size(); ++t) {
    Row row(2 * half);
    for (size_t i = 0; i < half; ++i) {
      const double angle = round_to(DType::F32, positions[t] * inv_freq[i]);
      row[i] = std::cos(angle);
      row[half + i] = std::sin(angle);
    }
    write_row(call.outputs[0], static_cast<int64_t>(t), row);
  }
}

void rope(const OpCall& call) {
  const Tensor &x = call.inputs[0], &turns = call.inputs[1];
  const DType inner = params<RopeParams>(call).inner;
  const auto r = [inner](double value) { return round_to(inner, value); };
  const int64_t heads = x.shape[1], parts = turns.shape.rank() == 3 ? turns.shape[1] : 1;
  const auto half = static_cast<size_t>(x.shape[2] / parts / 2);
  for (int64_t row = 0; row < x.shape[0] * heads; ++row) {
    const Row in = read_row(x, row);
    Row out(in.size());
    for (int64_t part = 0; part < parts; ++part) {
      const Row table = read_row(turns, row / heads * parts + part);
      const size_t begin = static_cast<size_t>(part) * 2 * half;
      for (size_t i = begin; i < begin + half; ++i) {
        const double cosine = table[i - begin];
        const double sine = table[half + i - begin];
        out[i] = r(in[i] * cosine) - r(in[i + half] * sine);
        out[i + half] = r(in[i + half] * cosine) + r(in[i] * sine);
      }
    }
    write_row(call.outputs[0], row, out);
  }
}

}  // namespace g4::reference
