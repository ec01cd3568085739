#include "graph/graph.h"

namespace g4 {

Var Graph::external(const Tensor& tensor, std::string name) {
  G4_CHECK(tensor.buffer != nullptr, name);
  Value v;
  v.name = std::move(name);
  v.kind = ValueKind::External;
  v.tensor = tensor;
  v.place = place_;
  values_.push_back(std::move(v));
  return {this, static_cast<ValueId>(values_.size() - 1)};
}

Var Graph::view(Var of, const Shape& shape, const Strides& strides, int64_t offset) {
  G4_CHECK(of.graph == this);
  const Value& source = value(of.id);
  Value v;
  v.name = source.name;
  v.kind = ValueKind::View;
  v.base = root(of.id);
  v.view_offset = source.view_offset + offset;
  v.tensor.dtype = source.tensor.dtype;
  v.tensor.shape = shape;
  v.tensor.strides = strides;
  const Tensor& base = value(v.base).tensor;
  G4_CHECK(v.view_offset >= 0 && v.view_offset + v.tensor.bytes() <= base.bytes(), v.name, " view ", shape.str());
  values_.push_back(std::move(v));
  return {this, static_cast<ValueId>(values_.size() - 1)};
}

std::vector<Var> Graph::append(const OpDef& op, std::shared_ptr<const OpParams> params, const std::vector<Var>& inputs,
                               const std::vector<std::pair<DType, Shape>>& outputs) {
  Node node;
  node.op = &op;
  node.params = std::move(params);
  node.place = place_;
  for (const Var& input : inputs) {
    G4_CHECK(input.graph == this, op.name);
    node.inputs.push_back(input.id);
  }
  std::vector<Var> results;
  for (const auto& [dtype, shape] : outputs) {
    Value v;
    v.name = std::string(op.name);
    v.tensor = Tensor(dtype, shape, nullptr, 0);
    v.producer = static_cast<int32_t>(nodes_.size());
    values_.push_back(std::move(v));
    results.push_back({this, static_cast<ValueId>(values_.size() - 1)});
    node.outputs.push_back(results.back().id);
  }
  nodes_.push_back(std::move(node));
  return results;
}

void Graph::mark_output(Var v) { values_[static_cast<size_t>(v.id)].output = true; }

Var Graph::find_output(std::string_view name) {
  for (size_t i = 0; i < values_.size(); ++i)
    if (values_[i].output && values_[i].name == name) return {this, static_cast<ValueId>(i)};
  return {};
}

Var reshape(Var x, const Shape& shape) {
  const Tensor& t = x.graph->value(x.id).tensor;
  G4_CHECK(t.contiguous() && shape.elements() == t.shape.elements(), t.shape.str(), " as ", shape.str());
  return x.graph->view(x, shape, contiguous_strides(t.dtype, shape), 0);
}

Var select(Var x, int64_t index) {
  const Tensor& t = x.graph->value(x.id).tensor;
  G4_CHECK(t.shape.rank() == 3 && index >= 0 && index < t.shape[1], t.shape.str());
  return x.graph->view(x, {t.shape[0], t.shape[2]}, {t.strides[0]}, index * t.strides[1]);
}

Var columns(Var x, int64_t begin, int64_t count) {
  const Tensor& t = x.graph->value(x.id).tensor;
  G4_CHECK(begin >= 0 && begin + count <= t.shape[-1] && begin % block_size(t.dtype) == 0, t.shape.str());
  Shape shape;
  for (int i = 0; i + 1 < t.shape.rank(); ++i) shape.append(t.shape[i]);
  shape.append(count);
  return x.graph->view(x, shape, t.strides, row_bytes(t.dtype, begin));
}

}  // namespace g4
