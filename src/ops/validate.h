// Shape and dtype checks of the operations: a violation names the operation and the shapes.
#pragma once

#include "base/error.h"
#include "graph/graph.h"

namespace g4 {

template <class... Parts>
void require(bool condition, const OpDef& op, Parts&&... parts) {
  if (!condition) fail<ArgumentError>(std::string(op.name).c_str(), std::forward<Parts>(parts)...);
}

// b has a's shape, or is one row [n] or one number [1] for all of a's rows.
inline void require_broadcast(const OpDef& op, Var a, Var b) {
  const bool row = b.shape().rank() == 1 && (b.shape()[0] == a.shape()[-1] || b.shape()[0] == 1);
  require(is_float(a.dtype()) && is_float(b.dtype()) && (row || a.shape() == b.shape()), op, "a ", a.shape().str(),
          " and b ", b.shape().str());
}

// The shape with its last dimension replaced.
inline Shape with_last(const Shape& shape, int64_t last) {
  Shape result;
  for (int i = 0; i + 1 < shape.rank(); ++i) result.append(shape[i]);
  result.append(last);
  return result;
}

}  // namespace g4
