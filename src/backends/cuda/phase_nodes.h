// What the search for phases asks of nodes and of memory.
#pragma once

#include "graph/graph.h"
#include "ops/add.h"
#include "ops/mul.h"
#include "ops/rms_norm.h"
#include "ops/scale.h"

namespace g4::cuda {

// Bytes that a kernel reads or writes.
struct Span {
  const std::byte* begin;
  int64_t bytes;
  bool meets(const Span& other) const { return begin < other.begin + other.bytes && other.begin < begin + bytes; }
};

inline bool is_row_op(const Node& node) {
  return node.op == &rms_norm_op || node.op == &scale_op || node.op == &add_op || node.op == &mul_op;
}

}  // namespace g4::cuda
