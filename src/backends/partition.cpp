#include "backends/partition.h"

#include <algorithm>

namespace g4 {
namespace {

const OpDef send_op{"send"};
const OpDef receive_op{"receive"};

void note(std::vector<std::string>& list, std::string_view op) {
  if (std::find(list.begin(), list.end(), op) == list.end()) list.emplace_back(op);
}

std::string describe(const OpCall& call) {
  std::string text = concat(call.op->name, " of");
  for (const Tensor& t : call.inputs) text += concat(" ", name(t.dtype), t.shape.str());
  return text;
}

// Copies a graph node by node into the parts.
class Partitioner {
 public:
  Partitioner(const Graph& source, std::span<Backend* const> backends, Backend* fallback)
      : source_(source),
        backends_(backends),
        fallback_(fallback),
        mapped_(backends.size(), std::vector<Var>(source.values().size())) {
    result_.parts.resize(backends.size());
  }

  Partition run() {
    const std::vector<Node>& nodes = source_.nodes();
    for (size_t first = 0; first < nodes.size();) {
      size_t last = first + 1;
      while (last < nodes.size() && nodes[last].place == nodes[first].place) ++last;
      turn(first, last);
      first = last;
    }
    for (size_t i = 0; i < source_.values().size(); ++i) {
      if (!source_.values()[i].output) continue;
      const auto id = static_cast<ValueId>(i);
      const int place = home(id);
      const Var v = map(place, id);
      part(place).graph.name(v, source_.value(id).name);
      part(place).graph.mark_output(v);
    }
    return std::move(result_);
  }

 private:
  Part& part(int place) { return result_.parts[static_cast<size_t>(place)]; }

  // Where a value's bytes come into being.
  int home(ValueId id) const {
    const Value& root = source_.value(source_.root(id));
    return root.kind == ValueKind::External ? root.place : source_.nodes()[static_cast<size_t>(root.producer)].place;
  }

  // Nodes [first, last) of the source, all of one place.
  void turn(size_t first, size_t last) {
    Turn turn;
    turn.place = source_.nodes()[first].place;
    G4_CHECK(turn.place >= 0 && turn.place < static_cast<int>(backends_.size()), turn.place);
    for (size_t n = first; n < last; ++n)
      for (ValueId id : source_.nodes()[n].inputs) bring(source_.root(id), turn);
    turn.first = part(turn.place).graph.nodes().size();
    for (size_t n = first; n < last; ++n) copy(source_.nodes()[n]);
    turn.last = part(turn.place).graph.nodes().size();
    result_.turns.push_back(std::move(turn));
  }

  // Has a value of another place copied to the turn's, unless it is there already.
  void bring(ValueId root, Turn& turn) {
    const int from = home(root);
    Var& target = mapped(turn.place, root);
    if (from == turn.place || target) return;
    const Value& v = source_.value(root);
    G4_CHECK(v.tensor.contiguous(), v.name);
    const Var source = map(from, root);
    part(from).graph.append(send_op, nullptr, {source}, {});
    part(from).backends.push_back(nullptr);
    Part& here = part(turn.place);
    target = here.graph.append(receive_op, nullptr, {}, {{v.tensor.dtype, v.tensor.shape}})[0];
    here.graph.name(target, v.name);
    here.backends.push_back(nullptr);
    turn.transfers.push_back({from, source.id, target.id});
  }

  void copy(const Node& node) {
    Graph& graph = part(node.place).graph;
    std::vector<Var> inputs;
    for (ValueId id : node.inputs) inputs.push_back(map(node.place, id));
    std::vector<Var> outputs;
    Var meaning;
    if (node.op->expand && !backend(node.place).supports(call_of(source_, node)))
      meaning = node.op->expand(*node.params, inputs, source_.value(node.outputs[0]).tensor.dtype);
    if (meaning) {
      note(result_.expanded, node.op->name);
      outputs = {meaning};
    } else {
      std::vector<std::pair<DType, Shape>> results;
      for (ValueId id : node.outputs)
        results.emplace_back(source_.value(id).tensor.dtype, source_.value(id).tensor.shape);
      outputs = graph.append(*node.op, node.params, inputs, results);
    }
    assign_new_nodes(node.place);
    for (size_t i = 0; i < outputs.size(); ++i) {
      mapped(node.place, node.outputs[i]) = outputs[i];
      graph.name(outputs[i], source_.value(node.outputs[i]).name);
    }
  }

  void assign_new_nodes(int place) {
    Part& p = part(place);
    for (size_t n = p.backends.size(); n < p.graph.nodes().size(); ++n) {
      const OpCall call = call_of(p.graph, p.graph.nodes()[n]);
      if (backend(place).supports(call)) {
        p.backends.push_back(&backend(place));
      } else if (fallback_ && fallback_->supports(call)) {
        p.backends.push_back(fallback_);
        note(result_.fallbacks, call.op->name);
      } else {
        fail<DeviceError>("device", backend(place).name(), " has no kernel for ", describe(call));
      }
    }
  }

  Var map(int place, ValueId id) {
    Var& target = mapped(place, id);
    if (target) return target;
    const Value& v = source_.value(id);
    Graph& graph = part(place).graph;
    if (v.kind == ValueKind::External) {
      G4_CHECK(v.place == place, v.name);
      target = graph.external(v.tensor, v.name);
    } else {
      G4_CHECK(v.kind == ValueKind::View, v.name);
      target = graph.view(map(place, v.base), v.tensor.shape, v.tensor.strides, v.view_offset);
    }
    return target;
  }

  Var& mapped(int place, ValueId id) { return mapped_[static_cast<size_t>(place)][static_cast<size_t>(id)]; }
  Backend& backend(int place) const { return *backends_[static_cast<size_t>(place)]; }

  const Graph& source_;
  std::span<Backend* const> backends_;
  Backend* fallback_;
  std::vector<std::vector<Var>> mapped_;  // by place and value of the source
  Partition result_;
};

}  // namespace

Partition partition(const Graph& graph, std::span<Backend* const> backends, Backend* fallback) {
  return Partitioner(graph, backends, fallback).run();
}

OpCall call_of(const Graph& graph, const Node& node) {
  OpCall call{node.op, node.params.get(), {}, {}};
  for (ValueId id : node.inputs) call.inputs.push_back(graph.value(id).tensor);
  for (ValueId id : node.outputs) call.outputs.push_back(graph.value(id).tensor);
  return call;
}

}  // namespace g4
