// The oracle itself, against numbers worked out by hand: if the reference and a backend shared a misreading of an
// operation's header, the op tests would pass.
#include <cmath>
#include <limits>

#include "backends/registry.h"
#include "check.h"
#include "ops/op_table.h"
#include "ops/runner.h"
#include "tensor/quant/quant.h"

G4_TEST_MAIN

namespace g4::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Build = std::function<void(Builder&)>;

std::vector<Result> results_of(const Build& build) {
  static const std::unique_ptr<Backend> backend = create_backend(load_backend_library(G4CPP_REFERENCE_BACKEND), {});
  OpCase c;
  c.build = build;
  return run(c, *backend, {});
}

std::vector<float> floats(const Result& result) {
  std::vector<float> values(result.bytes.size() / static_cast<size_t>(block_bytes(result.dtype)));
  dequantize(result.dtype, result.bytes.data(), values.data(), static_cast<int64_t>(values.size()));
  return values;
}

std::vector<float> evaluate(const Build& build) { return floats(results_of(build)[0]); }

void check_values(const std::vector<float>& got, const std::vector<float>& expected, float tolerance = 0) {
  CHECK_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size() && i < expected.size(); ++i)
    if (!(got[i] == expected[i] || std::fabs(got[i] - expected[i]) <= tolerance))
      report(__FILE__, __LINE__, concat("element ", i, ": ", got[i], ", expected ", expected[i]));
}

Data f32(const Shape& shape, const std::vector<float>& values) { return encode(DType::F32, shape, values); }

}  // namespace

TEST(rounding_is_to_nearest_even_in_every_format) {
  // 1 + 2^-8 lies halfway between bfloat16 neighbours 1 and 1 + 2^-7; 1 + 3 2^-8 halfway between odd and even.
  const std::vector<float> x{1.00390625f, 1.01171875f, 1.00390637f, -1.00390625f, 3.4e38f, 0x1p-133f, 0x1.8p-133f, 0};
  check_values(evaluate([&](Builder& b) {
                 b.output(scale(b.input(f32({1, 8}, x)), 1, DType::BF16), {});
               }),
               {1, 1.015625f, 1.0078125f, -1, kInfinity, 0x1p-133f, 0x1p-132f, 0});
  // Halfway between float16 neighbours at 2048, at the smallest subnormal and at the largest; the largest value and
  // beyond it.
  const std::vector<float> y{2049, 2051, 65504, 65519, 65520, 0x1p-25f, 0x1.8p-24f, -0x1.004p-14f, 0x1.ffcp-15f};
  check_values(evaluate([&](Builder& b) {
                 b.output(scale(b.input(f32({1, 9}, y)), 1, DType::F16), {});
               }),
               {2048, 2052, 65504, 65504, kInfinity, 0, 0x1p-23f, -0x1.004p-14f, 0x1p-14f});
}

TEST(every_float16_survives_a_copy) {
  std::vector<float> all;
  for (int bits = 0; bits < 0x7c00; ++bits) {
    const int exponent = bits >> 10;
    all.push_back(
        static_cast<float>(exponent ? std::ldexp(1024 + (bits & 1023), exponent - 25) : std::ldexp(bits, -24)));
    all.push_back(-all.back());
  }
  const Shape shape{static_cast<int64_t>(all.size())};
  check_values(
      evaluate([&](Builder& b) { b.output(scale(b.input(encode(DType::F16, shape, all)), 1, DType::F16), {}); }), all);
}

TEST(add_and_mul_broadcast_rows_and_numbers) {
  const Data a = f32({2, 2}, {1, 2, 3, 4});
  const Data row = f32({2}, {10, 20});
  const Data one = f32({1}, {5});
  check_values(evaluate([&](Builder& b) { b.output(add(b.input(a), b.input(a), DType::F32), {}); }), {2, 4, 6, 8});
  check_values(evaluate([&](Builder& b) { b.output(add(b.input(a), b.input(row), DType::F32), {}); }),
               {11, 22, 13, 24});
  check_values(evaluate([&](Builder& b) { b.output(mul(b.input(a), b.input(row), DType::F32), {}); }),
               {10, 40, 30, 80});
  check_values(evaluate([&](Builder& b) { b.output(mul(b.input(a), b.input(one), DType::F32), {}); }), {5, 10, 15, 20});
}

TEST(strided_inputs_are_read_by_their_strides) {
  const Data a = f32({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  check_values(evaluate([&](Builder& b) { b.output(scale(b.input(a, Layout::Strided), 2, DType::F32), {}); }),
               {2, 4, 6, 8, 10, 12, 14, 16});
}

TEST(gelu_has_its_published_values) {
  // tanh form: 0.5 x (1 + tanh(0.7978845608 (x + 0.044715 x^3))), from a 30-digit calculator.
  check_values(evaluate([](Builder& b) {
                 b.output(gelu(b.input(f32({1, 4}, {1, -1, 3, 0})), DType::F32), {});
               }),
               {0.8411919906f, -0.1588080094f, 2.9963627082f, 0}, 1e-9f);
}

TEST(softcap_saturates) {
  check_values(evaluate([](Builder& b) {
                 b.output(softcap(b.input(f32({1, 4}, {1e6f, -1e6f, 30, 0})), 30, DType::F32), {});
               }),
               {30, -30, 22.8478246f, 0}, 2e-6f);  // 30 tanh(1)
}

TEST(rms_norm_divides_by_the_root_mean_square) {
  const Data x = f32({2, 2}, {3, 4, 0, 0});  // mean square 12.5
  const Data w = f32({2}, {1, 10});
  check_values(evaluate([&](Builder& b) { b.output(rms_norm(b.input(x), b.input(w), 12.5f, DType::F32), {}); }),
               {0.6f, 8, 0, 0}, 1e-7f);
  check_values(evaluate([&](Builder& b) { b.output(rms_norm(b.input(x), Var{}, 12.5f, DType::F32), {}); }),
               {0.6f, 0.8f, 0, 0}, 1e-7f);
}

TEST(rope_table_holds_cosines_then_sines_of_float32_angles) {
  const float third = 1.0f / 3;
  const std::vector<float> got = evaluate([&](Builder& b) {
    b.output(rope_table(b.input(ints({2}, {0, 100000})), b.input(f32({3}, {1, third, 0})), DType::F32), {});
  });
  check_values({got.begin(), got.begin() + 6}, {1, 1, 1, 0, 0, 0});
  // 100000 * fl(1/3) in float32 is 33333.33594 (neighbours are 2^-8 apart); the real product 33333.33433 gives a
  // sine that differs in the third place.
  const double angle = 33333.3359375;
  check_values({got.begin() + 6, got.end()},
               {static_cast<float>(std::cos(100000.0)), static_cast<float>(std::cos(angle)), 1,
                static_cast<float>(std::sin(100000.0)), static_cast<float>(std::sin(angle)), 0});
}

TEST(rope_rotates_halves) {
  // d = 4: pairs (0, 2) and (1, 3); the first turns by 90 degrees, the second by none.
  const Data x = f32({1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  const Data table = f32({1, 4}, {0, 1, 1, 0});
  check_values(evaluate([&](Builder& b) { b.output(rope(b.input(x), b.input(table), DType::F32, DType::F32), {}); }),
               {-3, 2, 1, 4, -7, 6, 5, 8});
}

TEST(rope_rounds_each_product) {
  // x = (1 + 2^-7, 1), cos = sin = 1 + 2^-7: the square 1 + 2^-6 + 2^-14 rounds to 1 + 2^-6 in bfloat16.
  const float c = 1.0078125f;
  const Data x = f32({1, 1, 2}, {c, 1});
  const Data table = f32({1, 2}, {c, c});
  check_values(evaluate([&](Builder& b) { b.output(rope(b.input(x), b.input(table), DType::BF16, DType::F32), {}); }),
               {0.0078125f, 2.0234375f});
  check_values(evaluate([&](Builder& b) { b.output(rope(b.input(x), b.input(table), DType::F32, DType::F32), {}); }),
               {c * c - c, c * c + c});
}

TEST(matmul_multiplies_rows_by_rows) {
  const Data x = f32({2, 3}, {1, 2, 3, 4, 5, 6});
  const Data w = f32({2, 3}, {1, 0, -1, 0.5f, 0.5f, 0.5f});
  check_values(evaluate([&](Builder& b) { b.output(matmul(b.input(x), b.input(w), DType::F32), {}); }),
               {-2, 3, -2, 7.5f});
  check_values(evaluate([&](Builder& b) { b.output(matmul(b.input(x), b.input(w), DType::F32, 256), {}); }),
               {-512, 768, -512, 1920});
}

TEST(matmul_accumulates_in_double) {
  const Data x = f32({1, 3}, {1e8f, 1, -1e8f});
  const Data w = f32({1, 3}, {1, 1, 1});
  check_values(evaluate([&](Builder& b) { b.output(matmul(b.input(x), b.input(w), DType::F32), {}); }), {1});
}

TEST(matmul_decodes_quantised_weights) {
  std::vector<float> values(32);
  for (size_t i = 0; i < 32; ++i) values[i] = i == 0 ? -8.0f : static_cast<float>(i % 8);
  const Data x = f32({1, 32}, std::vector<float>(32, 1.0f));
  for (const DType dtype : {DType::Q4_0, DType::BF16, DType::F16}) {
    const Data w = encode(dtype, {1, 32}, values);  // all of them exact: 4 * 28 - 8
    check_values(evaluate([&](Builder& b) { b.output(matmul(b.input(x), b.input(w), DType::F32), {}); }), {104});
  }
}

TEST(expert_matmul_takes_each_choice_from_its_expert) {
  const Data w = f32({3, 1, 2}, {1, 0, 0, 1, 10, 10});
  const Data ids = ints({2, 2}, {2, 0, 1, 2});
  const Data shared = f32({2, 2}, {1, 2, 3, 4});
  check_values(
      evaluate([&](Builder& b) { b.output(expert_matmul(b.input(shared), b.input(w), b.input(ids), DType::F32), {}); }),
      {30, 1, 4, 70});
  const Data own = f32({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  check_values(evaluate([&](Builder& b) {
                 b.output(expert_matmul(b.input(own), b.input(w), b.input(ids), DType::F32, 0.5f), {});
               }),
               {15, 1.5f, 3, 75});
}

TEST(expert_combine_weighs_choices) {
  const Data y = f32({1, 2, 2}, {1, 2, 10, 20});
  const Data weights = f32({1, 2}, {0.5f, 0.25f});
  check_values(evaluate([&](Builder& b) { b.output(expert_combine(b.input(y), b.input(weights), DType::F32), {}); }),
               {3, 6});
}

TEST(embed_scales_rows) {
  const Data table = f32({3, 2}, {1, 2, 3, 4, 5, 6});
  check_values(evaluate([&](Builder& b) {
                 b.output(embed(b.input(table), b.input(ints({2}, {2, 0})), 3, DType::F32), {});
               }),
               {15, 18, 3, 6});
}

TEST(gather_rows_copies) {
  const Data x = f32({3, 2}, {1, 2, 3, 4, 5, 6});
  check_values(evaluate([&](Builder& b) { b.output(gather_rows(b.input(x), b.input(ints({1}, {1}))), {}); }), {3, 4});
}

TEST(replace_rows_takes_the_indexed) {
  const Data x = f32({3, 2}, {1, 2, 3, 4, 5, 6}), rows = f32({2, 2}, {7, 8, 9, 10});
  check_values(evaluate([&](Builder& b) {
                 b.output(replace_rows(b.input(x), b.input(rows), b.input(ints({3}, {-1, 1, 0}))), {});
               }),
               {1, 2, 9, 10, 7, 8});
}

TEST(router_takes_the_largest_and_the_lowest_of_equals) {
  const float log2 = 0.69314718f, log4 = 1.38629436f;
  // p is proportional to 1, 4, 2, 4: chosen 1, 3, 2 with 0.4, 0.4, 0.2, times their experts' scales.
  const Data logits = f32({1, 4}, {0, log4, log2, log4});
  const Data scales = f32({4}, {1, 2, 10, 1});
  const auto got = results_of([&](Builder& b) {
    const Routing routing = router_topk(b.input(logits), b.input(scales), 3);
    b.output(routing.ids, {});
    b.output(routing.weights, {});
  });
  CHECK(got[0].bytes == ints({1, 3}, {1, 3, 2}).bytes);
  check_values(floats(got[1]), {0.8f, 0.4f, 2}, 1e-6f);
}

TEST(attention_weighs_visible_positions) {
  // Ring of 4 slots, positions 3..6 in slots 3, 0, 1, 2; scores of the keys are ln 1, ln 2, ln 3, ln 4 at 3, 4, 5, 6.
  const Data k = f32({4, 1, 2}, {0.69314718f, 0, 1.09861229f, 0, 1.38629436f, 0, 0, 0});
  const Data v = f32({4, 1, 2}, {20, 2, 30, 3, 40, 4, 10, 1});
  const Data q = f32({2, 2, 2}, {2, 9, 2, 9, 0, 0, 2, 9});
  const auto build = [&](int64_t window) {
    return [&, window](Builder& b) {
      b.output(attention(b.input(q), b.input(k), b.input(v), b.input(ints({2}, {5, 6})), 0.5f, window, DType::F32), {});
    };
  };
  // Position 5 sees 4 and 5 with weights 2:3, position 6 sees 5 and 6 with 3:4, or evenly for a zero query.
  check_values(evaluate(build(2)), {26, 2.6f, 26, 2.6f, 35, 3.5f, 250 / 7.0f, 25 / 7.0f}, 1e-5f);
  check_values(evaluate(build(1)), {30, 3, 30, 3, 40, 4, 40, 4}, 1e-5f);
}

TEST(attention_sees_as_far_as_it_is_told) {
  // As above; position 4 sees ahead to 6, and back to 3.
  const Data k = f32({4, 1, 2}, {0.69314718f, 0, 1.09861229f, 0, 1.38629436f, 0, 0, 0});
  const Data v = f32({4, 1, 2}, {20, 2, 30, 3, 40, 4, 10, 1});
  const Data q = f32({2, 2, 2}, {2, 9, 2, 9, 0, 0, 2, 9});
  const auto build = [&](Builder& b) {
    const Var last = b.input(ints({2}, {6, 5}));
    b.output(attention(b.input(q), b.input(k), b.input(v), b.input(ints({2}, {4, 5})), 0.5f, 2, DType::F32, last), {});
  };
  check_values(evaluate(build), {30, 3, 30, 3, 25, 2.5f, 26, 2.6f}, 1e-5f);
}

TEST(attention_without_a_window_sees_everything_and_groups_heads) {
  // Four heads on two; keys are zero, so that every output is the mean of the values up to the position.
  const Data q = f32({1, 4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const Data k = f32({3, 2, 2}, std::vector<float>(12, 0.0f));
  const Data v = f32({3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 900, 900, 900, 900});
  check_values(evaluate([&](Builder& b) {
                 b.output(attention(b.input(q), b.input(k), b.input(v), b.input(ints({1}, {1})), 1, 0, DType::F32), {});
               }),
               {3, 4, 3, 4, 5, 6, 5, 6});
}

TEST(kv_write_wraps_and_leaves_the_rest) {
  const Data fresh = f32({2, 1, 1}, {7, 8});
  const Data values = f32({2, 1, 1}, {70, 80});
  const auto got = results_of([&](Builder& b) {
    const Var k = b.cache(f32({3, 1, 1}, {1, 2, 3}), Layout::Contiguous, {});
    const Var v = b.cache(f32({3, 1, 1}, {10, 20, 30}), Layout::Contiguous, {});
    kv_write(b.input(fresh), b.input(values), k, v, b.input(ints({2}, {5, 6})));
  });
  check_values(floats(got[0]), {8, 2, 7});
  check_values(floats(got[1]), {80, 20, 70});
}

}  // namespace g4::test
