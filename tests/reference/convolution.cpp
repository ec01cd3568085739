// causal_conv1d, conv2d: sums over taps, with zeros outside the input.
#include <tuple>

#include "reference/kernels.h"
#include "reference/numbers.h"

namespace g4::reference {

void causal_conv1d(const OpCall& call) {
  const auto& [x, w] = std::tie(call.inputs[0], call.inputs[1]);
  const int64_t taps = w.shape[1];
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    Row out(static_cast<size_t>(x.shape[1]));
    for (int64_t j = 0; j < taps; ++j) {
      const int64_t from = t - taps + 1 + j;
      if (from < 0) continue;
      const Row row = read_row(x, from);
      for (size_t c = 0; c < out.size(); ++c)
        out[c] += read_row(w, static_cast<int64_t>(c))[static_cast<size_t>(j)] * row[c];
    }
    write_row(call.outputs[0], t, out);
  }
}

void conv2d(const OpCall& call) {
  const auto& [x, w, out] = std::tie(call.inputs[0], call.inputs[1], call.outputs[0]);
  const int64_t height = x.shape[0], width = x.shape[1], channels = x.shape[2];
  std::vector<Row> kernel;
  for (int64_t i = 0; i < w.shape.rows(); ++i) kernel.push_back(read_row(w, i));
  for (int64_t row = 0; row < out.shape.rows(); ++row) {
    Row sums(static_cast<size_t>(out.shape[2]));
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 3; ++j) {
        const int64_t top = row / out.shape[1] * 2 + i - 1, left = row % out.shape[1] * 2 + j - 1;
        if (top < 0 || top >= height || left < 0 || left >= width) continue;
        const Row pixel = read_row(x, top * width + left);
        for (size_t o = 0; o < sums.size(); ++o)
          for (size_t c = 0; c < pixel.size(); ++c)
            sums[o] +=
                kernel[(o * static_cast<size_t>(channels) + c) * 3 + static_cast<size_t>(i)][static_cast<size_t>(j)] *
                pixel[c];
      }
    write_row(out, row, sums);
  }
}

}  // namespace g4::reference
