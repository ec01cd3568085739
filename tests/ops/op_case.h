// A case: one application of an operation with its data and tolerances, as a function that builds a graph. The runner
// builds it several times: on the backend under test with 1, 2 and 3 threads, with a single token, on the reference.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/backend.h"
#include "ops/bounds.h"
#include "ops/data.h"

namespace g4::test {

// Strided: a gap after every row and another after every matrix, and a first element away from the buffer's start; the
// gaps hold NaN.
enum class Layout { Contiguous, Strided };

struct Variant {
  bool wide = false;           // outputs in float32: what the reference is asked for
  std::optional<int64_t> row;  // only this token
};

class Builder {
 public:
  Builder(Graph& graph, Backend& backend, std::string_view seed, const Variant& variant)
      : random(seed), graph_(graph), backend_(backend), variant_(variant) {}

  // The same value for every token.
  Var input(const Data& data, Layout layout = Layout::Contiguous);
  // Dimension 0 counts tokens; a one-token variant gets one of them.
  Var tokens(const Data& data, Layout layout = Layout::Contiguous);
  // A weight matrix in the layout that the backend chooses; rows on the reference.
  Var matrix(const Data& data);
  // Memory that the operation writes; its bytes afterwards, gaps included, are a result.
  Var cache(const Data& data, Layout layout, const Bound& bound);

  // The dtype to ask an operation for.
  DType out(DType wanted) const { return variant_.wide ? DType::F32 : wanted; }
  // Compares a value. Dimension 0 counts tokens.
  void output(Var v, const Bound& bound);

  Random random;

  struct Output {
    std::string name;  // of a marked value, or empty
    Tensor cache;
    Bound bound;
  };
  const std::vector<Output>& outputs() const { return outputs_; }

 private:
  Var place(const Data& data, Layout layout, bool writable);

  Graph& graph_;
  Backend& backend_;
  Variant variant_;
  std::vector<Output> outputs_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

struct OpCase {
  std::string op;
  std::string format;  // groups cases in the support table: a weight format or an activation's dtype
  std::string label;   // unique; also the seed
  std::function<void(Builder&)> build;
  bool panels = false;   // its matrix lies in panels where the backend has them
  int64_t n_tokens = 0;  // 0: tokens are not independent rows of this operation's result
};

using OpCases = std::vector<OpCase>;

OpCases elementwise_cases();
OpCases gelu_cases();
OpCases softcap_cases();
OpCases silu_cases();
OpCases convolution_cases();
OpCases relative_attention_cases();
OpCases norm_cases();
OpCases clamp_cases();
OpCases group_mean_cases();
OpCases layer_norm_cases();
OpCases rope_cases();
OpCases matmul_cases();
OpCases held_matmul_cases();
OpCases expert_cases();
OpCases embed_cases();
OpCases panel_matmul_cases();
OpCases panel_expert_cases();
OpCases panel_embed_cases();
OpCases router_cases();
OpCases top_k_cases();
OpCases attention_cases();
OpCases kv_write_cases();
OpCases all_cases();

inline constexpr DType kFloats[] = {DType::F32, DType::F16, DType::BF16};
inline constexpr Layout kLayouts[] = {Layout::Contiguous, Layout::Strided};
inline constexpr int64_t kTokens[] = {1, 2, 3, 5, 6, 7, 16, 33};
inline const char* text(Layout layout) { return layout == Layout::Strided ? "strided" : "contiguous"; }

}  // namespace g4::test
