// Program: a graph partitioned over backends, its memory planned, and compiled.
//
// The partitioner gives every node to the primary backend if that supports it; else expands a fused op into primitives
// with the same rounding points; else gives the node to the fallback backend, which must share host-visible memory with
// the primary. Expansions and fallbacks are listed, so that callers can report them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/backend.h"

namespace g4 {

struct Placement {
  Graph graph;                         // with unsupported fused nodes expanded
  std::vector<Backend*> backends;      // per node
  std::vector<std::string> expanded;   // op names, each once
  std::vector<std::string> fallbacks;  // op names run by the fallback backend, each once
};

// Throws DeviceError naming an op that no backend runs.
Placement place(const Graph& graph, Backend& primary, Backend* fallback);

class Program {
 public:
  Program(const Graph& graph, Backend& primary, Backend* fallback = nullptr);

  // Bytes of arena the program needs, scratch included; known before anything is allocated.
  int64_t arena_bytes() const { return workspace_offset_ + workspace_bytes_; }
  // Compiles against this arena, which outlives the program.
  void bind(Buffer& arena);
  void run(const Poll& poll);
  // Of each node, by the clocks of devices that keep their own; empty where none does.
  std::vector<double> node_milliseconds() const;

  // Where a value marked as output lies, after bind.
  Tensor output(std::string_view name) const;
  bool has_output(std::string_view name) const;
  const Graph& graph() const { return placed_->graph; }
  const std::vector<std::string>& expanded() const { return expanded_; }
  const std::vector<std::string>& fallbacks() const { return fallbacks_; }

 private:
  std::shared_ptr<PlacedGraph> placed_;
  std::vector<Backend*> backends_;
  std::vector<std::unique_ptr<Executable>> segments_;
  std::vector<std::string> expanded_;
  std::vector<std::string> fallbacks_;
  int64_t workspace_offset_ = 0;
  int64_t workspace_bytes_ = 0;
};

}  // namespace g4
