// causal_conv1d, conv2d.
#include <cmath>
#include <limits>

#include "ops/causal_conv1d.h"
#include "ops/conv2d.h"
#include "ops/op_case.h"

namespace g4::test {
namespace {

OpCase conv1d_case(DType x, DType out, int64_t n, int64_t channels, int64_t taps, Layout layout) {
  OpCase c;
  c.op = "causal_conv1d";
  c.format = name(x);
  c.label =
      concat("causal_conv1d ", name(x), " ", n, "x", channels, " taps ", taps, " -> ", name(out), " ", text(layout));
  c.build = [=](Builder& builder) {
    const Data rows = uniform(builder.random, x, {n, channels}, -4, 4);
    const Data w = uniform(builder.random, DType::F32, {channels, taps}, -1, 1);
    builder.output(causal_conv1d(builder.input(rows, layout), builder.input(w, layout), builder.out(out)),
                   product(out, taps, largest(rows) * std::sqrt(static_cast<double>(taps)), largest_norm(w)));
  };
  return c;
}

// A NaN in row 3 shows in rows 3 to 3 + taps - 1 of its channel and nowhere else.
OpCase conv1d_nan(DType out) {
  OpCase c;
  c.op = "causal_conv1d";
  c.format = "F32";
  c.label = concat("causal_conv1d one NaN -> ", name(out));
  c.build = [=](Builder& builder) {
    std::vector<float> values(40 * 20, 0.5f);
    values[3 * 20 + 7] = std::numeric_limits<float>::quiet_NaN();
    const Var x = builder.input(encode(DType::F32, {40, 20}, values));
    const Var w = builder.input(uniform(builder.random, DType::F32, {20, 5}));
    builder.output(causal_conv1d(x, w, builder.out(out)), product(out, 5, 2, 3));
  };
  return c;
}

OpCase conv2d_case(DType x, DType out, const Shape& image, int64_t outputs, Layout layout) {
  OpCase c;
  c.op = "conv2d";
  c.format = name(x);
  c.label = concat("conv2d ", name(x), image.str(), " to ", outputs, " -> ", name(out), " ", text(layout));
  c.build = [=](Builder& builder) {
    const Data pixels = uniform(builder.random, x, image, -4, 4);
    const Data w = uniform(builder.random, DType::F32, {outputs, image[2], 3, 3}, -1, 1);
    const int64_t k = 9 * image[2];
    // Norms of a whole patch and of a whole kernel.
    builder.output(conv2d(builder.input(pixels, layout), builder.input(w, layout), builder.out(out)),
                   product(out, k, largest(pixels) * std::sqrt(static_cast<double>(k)),
                           largest_norm(w) * std::sqrt(static_cast<double>(3 * image[2]))));
  };
  return c;
}

}  // namespace

OpCases convolution_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts) {
        for (const int64_t n : {1, 4, 5, 16, 17, 53}) cases.push_back(conv1d_case(x, out, n, 40, 5, layout));
        cases.push_back(conv1d_case(x, out, 20, 67, 3, layout));
        cases.push_back(conv1d_case(x, out, 20, 1, 1, layout));
        // Even and odd sides, a single pixel, one channel and many, outputs that fill no vector.
        for (const Shape& image : {Shape{1, 1, 1}, {2, 2, 1}, {3, 5, 1}, {5, 32, 1}, {4, 7, 3}, {7, 12, 19}})
          for (const int64_t outputs : {1, 16, 33, 50}) cases.push_back(conv2d_case(x, out, image, outputs, layout));
      }
  for (const DType out : kFloats) cases.push_back(conv1d_nan(out));
  cases.push_back(conv2d_case(DType::BF16, DType::BF16, {6, 64, 128}, 32, Layout::Contiguous));
  cases.push_back(conv2d_case(DType::F32, DType::F32, {9, 128, 1}, 128, Layout::Contiguous));
  return cases;
}

}  // namespace g4::test
