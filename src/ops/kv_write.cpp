#include "ops/kv_write.h"

#include "ops/validate.h"

namespace g4 {

const OpDef kv_write_op{"kv_write"};

void kv_write(Var k, Var v, Var k_cache, Var v_cache, Var positions) {
  const Shape& cache = k_cache.shape();
  require(k.shape() == v.shape() && k.shape().rank() == 3, kv_write_op, "k ", k.shape().str(), ", v ", v.shape().str());
  require(cache == v_cache.shape() && cache.rank() == 3 && cache[1] == k.shape()[1] && cache[2] == k.shape()[2],
          kv_write_op, "k ", k.shape().str(), " into a cache of ", cache.str());
  require(positions.dtype() == DType::I32 && positions.shape() == Shape{k.shape()[0]}, kv_write_op,
          "positions must be [tokens] I32");
  k.graph->append(kv_write_op, nullptr, {k, v, k_cache, v_cache, positions}, {});
}

}  // namespace g4
