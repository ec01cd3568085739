#include "backends/program.h"

#include <algorithm>
#include <array>

namespace g4 {

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

Program::Program(const Graph& graph, Backend& primary, Backend* fallback)
    : Program(graph, std::array<Backend*, 1>{&primary}, fallback) {}

Program::Program(const Graph& graph, std::span<Backend* const> backends, Backend* fallback) {
  Partition partition = g4::partition(graph, backends, fallback);
  for (Part& part : partition.parts) {
    PlacedPart p;
    p.placed = std::make_shared<PlacedGraph>();
    p.placed->graph = std::move(part.graph);
    p.backends = std::move(part.backends);
    int32_t linger = 0;
    for (const Backend* backend : p.backends)
      if (backend) linger = std::max(linger, backend->linger());
    p.placed->plan = plan_arena(p.placed->graph, linger);
    p.workspace_offset = p.placed->plan.bytes;
    for (size_t n = 0; n < p.backends.size(); ++n)
      if (p.backends[n])
        p.workspace_bytes =
            std::max(p.workspace_bytes, p.backends[n]->workspace(call_of(p.placed->graph, p.placed->graph.nodes()[n])));
    parts_.push_back(std::move(p));
  }
  turns_ = std::move(partition.turns);
  expanded_ = std::move(partition.expanded);
  fallbacks_ = std::move(partition.fallbacks);
}

int64_t Program::arena_bytes(int place) const {
  const PlacedPart& p = parts_[static_cast<size_t>(place)];
  return p.workspace_offset + p.workspace_bytes;
}

void Program::bind(Buffer& arena) { bind(std::array<Buffer*, 1>{&arena}); }

void Program::bind(std::span<Buffer* const> arenas) {
  G4_CHECK(arenas.size() == parts_.size(), arenas.size(), " arenas for ", parts_.size());
  for (size_t i = 0; i < parts_.size(); ++i) {
    const int64_t bytes = arena_bytes(static_cast<int>(i));
    const int64_t given = arenas[i] ? arenas[i]->size() : 0;
    G4_CHECK(given >= bytes, given, " of ", bytes);
    parts_[i].placed->arena = arenas[i];
  }
  steps_.clear();
  for (const Turn& turn : turns_) {
    const PlacedPart& p = parts_[static_cast<size_t>(turn.place)];
    Step step;
    for (const Transfer& t : turn.transfers)
      step.copies.push_back({parts_[static_cast<size_t>(t.from)].placed->tensor(t.source), p.placed->tensor(t.target)});
    for (size_t first = turn.first; first < turn.last;) {
      size_t last = first + 1;
      while (last < turn.last && p.backends[last] == p.backends[first]) ++last;
      step.segments.push_back(p.backends[first]->compile(p.placed, first, last, p.workspace_offset));
      first = last;
    }
    steps_.push_back(std::move(step));
  }
}

void Program::copy(const Copy& copy) {
  const Tensor &from = copy.from, &to = copy.to;
  const int64_t bytes = from.bytes();
  if (const std::byte* source = from.host()) {
    to.buffer->write(to.offset, source, bytes);
  } else if (std::byte* target = to.host()) {
    from.buffer->read(from.offset, target, bytes);
  } else {
    staging_.resize(std::max(staging_.size(), static_cast<size_t>(bytes)));
    from.buffer->read(from.offset, staging_.data(), bytes);
    to.buffer->write(to.offset, staging_.data(), bytes);
  }
}

void Program::run(const Poll& poll) {
  for (const Step& step : steps_) {
    for (const Copy& one : step.copies) copy(one);
    for (const auto& segment : step.segments) segment->run(poll);
  }
}

std::vector<double> Program::node_milliseconds() const {
  std::vector<double> all;
  for (const Step& step : steps_) {
    for (const auto& segment : step.segments) {
      const std::vector<double> some = segment->node_milliseconds();
      all.insert(all.end(), some.begin(), some.end());
    }
  }
  return all;
}

const Program::PlacedPart* Program::find_output(std::string_view name, ValueId& id) const {
  for (const PlacedPart& p : parts_) {
    const Var v = p.placed->graph.find_output(name);
    if (!v) continue;
    id = v.id;
    return &p;
  }
  return nullptr;
}

bool Program::has_output(std::string_view name) const {
  ValueId id = -1;
  return find_output(name, id) != nullptr;
}

std::vector<std::string> Program::output_names() const {
  std::vector<std::string> names;
  for (const PlacedPart& p : parts_)
    for (const Value& v : p.placed->graph.values())
      if (v.output) names.push_back(v.name);
  return names;
}

Tensor Program::output(std::string_view name) const {
  ValueId id = -1;
  const PlacedPart* part = find_output(name, id);
  G4_CHECK(part, name);
  return part->placed->tensor(id);
}

}  // namespace g4
