#include "backends/program.h"

#include <algorithm>

namespace g4 {
namespace {

void note(std::vector<std::string>& list, std::string_view op) {
  if (std::find(list.begin(), list.end(), op) == list.end()) list.emplace_back(op);
}

std::string describe(const OpCall& call) {
  std::string text = concat(call.op->name, " of");
  for (const Tensor& t : call.inputs) text += concat(" ", name(t.dtype), t.shape.str());
  return text;
}

// Copies a graph node by node, replacing what the primary backend cannot run.
class Placer {
 public:
  Placer(const Graph& source, Backend& primary, Backend* fallback)
      : source_(source), primary_(primary), fallback_(fallback), mapped_(source.values().size()) {}

  Placement run() {
    for (const Node& node : source_.nodes()) copy(node);
    for (size_t i = 0; i < source_.values().size(); ++i) {
      if (!source_.values()[i].output) continue;
      const Var v = map(static_cast<ValueId>(i));
      result_.graph.name(v, source_.values()[i].name);
      result_.graph.mark_output(v);
    }
    return std::move(result_);
  }

 private:
  void copy(const Node& node) {
    std::vector<Var> inputs;
    for (ValueId id : node.inputs) inputs.push_back(map(id));
    std::vector<Var> outputs;
    if (node.op->expand && !primary_.supports(call_of(source_, node))) {
      note(result_.expanded, node.op->name);
      outputs = {node.op->expand(*node.params, inputs, source_.value(node.outputs[0]).tensor.dtype)};
    } else {
      std::vector<std::pair<DType, Shape>> results;
      for (ValueId id : node.outputs)
        results.emplace_back(source_.value(id).tensor.dtype, source_.value(id).tensor.shape);
      outputs = result_.graph.append(*node.op, node.params, inputs, results);
    }
    assign_new_nodes();
    for (size_t i = 0; i < outputs.size(); ++i) {
      mapped_[static_cast<size_t>(node.outputs[i])] = outputs[i];
      result_.graph.name(outputs[i], source_.value(node.outputs[i]).name);
    }
  }

  void assign_new_nodes() {
    for (size_t n = result_.backends.size(); n < result_.graph.nodes().size(); ++n) {
      const OpCall call = call_of(result_.graph, result_.graph.nodes()[n]);
      if (primary_.supports(call)) {
        result_.backends.push_back(&primary_);
      } else if (fallback_ && fallback_->supports(call)) {
        result_.backends.push_back(fallback_);
        note(result_.fallbacks, call.op->name);
      } else {
        fail<DeviceError>("device", primary_.name(), " has no kernel for ", describe(call));
      }
    }
  }

  Var map(ValueId id) {
    Var& target = mapped_[static_cast<size_t>(id)];
    if (target) return target;
    const Value& v = source_.value(id);
    if (v.kind == ValueKind::External) {
      target = result_.graph.external(v.tensor, v.name);
    } else {
      G4_CHECK(v.kind == ValueKind::View, v.name);
      target = result_.graph.view(map(v.base), v.tensor.shape, v.tensor.strides, v.view_offset);
    }
    return target;
  }

  const Graph& source_;
  Backend& primary_;
  Backend* fallback_;
  std::vector<Var> mapped_;
  Placement result_;
};

}  // namespace

Placement place(const Graph& graph, Backend& primary, Backend* fallback) {
  return Placer(graph, primary, fallback).run();
}

OpCall call_of(const Graph& graph, const Node& node) {
  OpCall call{node.op, node.params.get(), {}, {}};
  for (ValueId id : node.inputs) call.inputs.push_back(graph.value(id).tensor);
  for (ValueId id : node.outputs) call.outputs.push_back(graph.value(id).tensor);
  return call;
}

Tensor PlacedGraph::tensor(ValueId id) const {
  const Value& v = graph.value(id);
  const ValueId root = graph.root(id);
  Tensor t = v.tensor;
  if (graph.value(root).kind == ValueKind::External) {
    t.buffer = graph.value(root).tensor.buffer;
    t.offset = graph.value(root).tensor.offset + v.view_offset;
  } else {
    t.buffer = arena;
    t.offset = plan.offsets[static_cast<size_t>(root)] + v.view_offset;
  }
  return t;
}

Program::Program(const Graph& graph, Backend& primary, Backend* fallback) : placed_(std::make_shared<PlacedGraph>()) {
  Placement placement = place(graph, primary, fallback);
  placed_->graph = std::move(placement.graph);
  placed_->plan = plan_arena(placed_->graph);
  backends_ = std::move(placement.backends);
  expanded_ = std::move(placement.expanded);
  fallbacks_ = std::move(placement.fallbacks);
  workspace_offset_ = placed_->plan.bytes;
  for (size_t n = 0; n < backends_.size(); ++n)
    workspace_bytes_ =
        std::max(workspace_bytes_, backends_[n]->workspace(call_of(placed_->graph, placed_->graph.nodes()[n])));
}

void Program::bind(Buffer& arena) {
  G4_CHECK(arena.size() >= arena_bytes(), arena.size(), " of ", arena_bytes());
  placed_->arena = &arena;
  segments_.clear();
  for (size_t first = 0; first < backends_.size();) {
    size_t last = first + 1;
    while (last < backends_.size() && backends_[last] == backends_[first]) ++last;
    segments_.push_back(backends_[first]->compile(placed_, first, last, workspace_offset_));
    first = last;
  }
}

void Program::run(const Poll& poll) {
  for (const auto& segment : segments_) segment->run(poll);
}

std::vector<double> Program::node_milliseconds() const {
  std::vector<double> all;
  for (const auto& segment : segments_) {
    const std::vector<double> some = segment->node_milliseconds();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

bool Program::has_output(std::string_view name) const { return static_cast<bool>(placed_->graph.find_output(name)); }

Tensor Program::output(std::string_view name) const {
  const Var v = placed_->graph.find_output(name);
  G4_CHECK(v, name);
  return placed_->tensor(v.id);
}

}  // namespace g4
