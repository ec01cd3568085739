// Graph: values and the nodes that compute them, in execution order.
//
// A value is external (its bytes live in a buffer that outlives the graph: weights, KV cache, step inputs),
// intermediate (placed in an arena by the memory planner) or a view of another value. Nodes name their operation
// through an OpDef and carry its parameters. Var is the handle that model code composes: `Var h = rms_norm(x, weight,
// eps, out);`.
//
// Nodes and external values belong to places, numbers that the runtime gives to the devices of one model: what is
// appended belongs to the place set last. What crosses between places is copied (backends/partition.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace g4 {

class Graph;
using ValueId = int32_t;

struct Var {
  Graph* graph = nullptr;
  ValueId id = -1;

  explicit operator bool() const { return graph != nullptr; }
  const Shape& shape() const;
  DType dtype() const;
};

// Base of every operation's parameters.
struct OpParams {
  virtual ~OpParams() = default;
};

// What the graph knows of an operation. Its parameters, shape rule and builder function live in ops/NAME.h.
struct OpDef {
  std::string_view name;
  // The meaning of a fused operation in primitives with the same rounding points: appends them to the inputs' graph and
  // returns what replaces its output, of dtype `out`; nothing where it fuses nothing. nullptr for a primitive.
  Var (*expand)(const OpParams& params, const std::vector<Var>& inputs, DType out) = nullptr;
};

enum class ValueKind : uint8_t { External, Intermediate, View };

struct Value {
  std::string name;
  ValueKind kind = ValueKind::Intermediate;
  Tensor tensor;            // dtype, shape, strides; buffer and offset when external
  int32_t producer = -1;    // node that writes it, when intermediate
  ValueId base = -1;        // of a view: the value it looks into (never itself a view)
  int64_t view_offset = 0;  // bytes into base
  bool output = false;      // kept until the end of the run
  int place = 0;            // of an external: where its bytes lie
};

struct Node {
  const OpDef* op = nullptr;
  std::shared_ptr<const OpParams> params;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  int place = 0;

  template <class P>
  const P& as() const {
    return static_cast<const P&>(*params);
  }
};

class Graph {
 public:
  // The place of what is appended from now on.
  void set_place(int place) { place_ = place; }
  int place() const { return place_; }

  // A value whose bytes already lie somewhere.
  Var external(const Tensor& tensor, std::string name);
  // A view with the given shape and byte strides, `offset` bytes into `of`.
  Var view(Var of, const Shape& shape, const Strides& strides, int64_t offset);
  // Appends a node with one output per (dtype, shape) of `outputs`.
  std::vector<Var> append(const OpDef& op, std::shared_ptr<const OpParams> params, const std::vector<Var>& inputs,
                          const std::vector<std::pair<DType, Shape>>& outputs);

  void name(Var v, std::string text) { values_[static_cast<size_t>(v.id)].name = std::move(text); }
  void mark_output(Var v);
  // The output marked under this name; an empty Var when there is none.
  Var find_output(std::string_view name);

  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  // The value that owns the bytes: itself, or a view's base.
  ValueId root(ValueId id) const { return value(id).kind == ValueKind::View ? value(id).base : id; }

 private:
  int place_ = 0;
  std::vector<Value> values_;
  std::vector<Node> nodes_;
};

inline const Shape& Var::shape() const { return graph->value(id).tensor.shape; }
inline DType Var::dtype() const { return graph->value(id).tensor.dtype; }

// --- views
// ------------------------------------------------------------------------------------------------------------- The
// same bytes under another shape; `x` must be contiguous.
Var reshape(Var x, const Shape& shape);
// [a, b, n] -> [a, n]: entry `index` of the middle dimension.
Var select(Var x, int64_t index);
// Columns [begin, begin + count) of the last dimension.
Var columns(Var x, int64_t begin, int64_t count);

}  // namespace g4
