#include "ops/attention.h"

#include "ops/validate.h"

namespace g4 {

const OpDef attention_op{"attention"};

Var attention(Var q, Var k_cache, Var v_cache, Var positions, float scale, int64_t window, DType out, Var last,
              bool whole) {
  const Shape& cache = k_cache.shape();
  require(q.shape().rank() == 3 && cache.rank() == 3 && cache == v_cache.shape(), attention_op, "q ", q.shape().str(),
          " over caches ", cache.str(), " and ", v_cache.shape().str());
  require(q.shape()[2] == cache[2] && q.shape()[1] % cache[1] == 0, attention_op, "q ", q.shape().str(),
          " over a cache of ", cache.str());
  require(positions.dtype() == DType::I32 && positions.shape() == Shape{q.shape()[0]}, attention_op,
          "positions must be [tokens] I32");
  require(!last || (last.dtype() == DType::I32 && last.shape() == positions.shape()), attention_op,
          "last must be [tokens] I32");
  require(window >= 0 && window <= cache[0], attention_op, "window ", window, " of ", cache[0], " slots");
  require(!whole || (!window && !last), attention_op, "whole attention has no window and no other last position");
  auto params = std::make_shared<AttentionParams>();
  params->scale = scale;
  params->window = window;
  params->whole = whole;
  std::vector<Var> inputs{q, k_cache, v_cache, positions};
  if (last) inputs.push_back(last);
  return q.graph->append(attention_op, params, inputs, {{out, q.shape()}})[0];
}

}  // namespace g4
