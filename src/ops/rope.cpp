#include "ops/rope.h"

#include "ops/validate.h"

namespace g4 {

const OpDef rope_op{"rope"};

Var rope(Var x, Var table, DType inner, DType out) {
  const Shape &s = x.shape(), &t = table.shape();
  const bool fits = s.rank() == 3 && (t.rank() == 2 || t.rank() == 3) && t[0] == s[0] && t.elements() == t[0] * s[2];
  require(fits && t[-1] % 2 == 0, rope_op, "x ", s.str(), " with table ", t.str());
  auto params = std::make_shared<RopeParams>();
  params->inner = inner;
  return x.graph->append(rope_op, params, {x, table}, {{out, s}})[0];
}

}  // namespace g4
