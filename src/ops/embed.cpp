#include "ops/embed.h"

#include "ops/validate.h"

namespace g4 {

const OpDef embed_op{"embed"};

Var embed(Var table, Var ids, float scale, DType out) {
  require(table.shape().rank() == 2, embed_op, "table ", table.shape().str(), " must be [vocab, n]");
  require(ids.shape().rank() == 1 && ids.dtype() == DType::I32, embed_op, "ids ", ids.shape().str(),
          " must be [tokens] I32");
  auto params = std::make_shared<EmbedParams>();
  params->scale = scale;
  return table.graph->append(embed_op, params, {table, ids}, {{out, {ids.shape()[0], table.shape()[1]}}})[0];
}

}  // namespace g4
