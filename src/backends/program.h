// Program: a graph partitioned over backends (partition.h), its memory planned, and compiled.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/partition.h"

namespace g4 {

class Program {
 public:
  // On one place.
  Program(const Graph& graph, Backend& primary, Backend* fallback = nullptr);
  // On several: `backends` holds each place's.
  Program(const Graph& graph, std::span<Backend* const> backends, Backend* fallback = nullptr);

  // Bytes of arena the program needs at a place, scratch included; known before anything is allocated.
  int64_t arena_bytes(int place = 0) const;
  // Compiles against these arenas, one for each place, which outlive the program. One that needs no bytes may be null.
  void bind(std::span<Buffer* const> arenas);
  void bind(Buffer& arena);
  void run(const Poll& poll);
  // Of each node, by the clocks of devices that keep their own; empty where none does.
  std::vector<double> node_milliseconds() const;

  // Where a value marked as output lies, after bind.
  Tensor output(std::string_view name) const;
  bool has_output(std::string_view name) const;
  std::vector<std::string> output_names() const;
  // A place's share of the graph.
  const Graph& graph(int place = 0) const { return parts_[static_cast<size_t>(place)].placed->graph; }
  const std::vector<std::string>& expanded() const { return expanded_; }
  const std::vector<std::string>& fallbacks() const { return fallbacks_; }

 private:
  struct PlacedPart {
    std::shared_ptr<PlacedGraph> placed;
    std::vector<Backend*> backends;  // per node
    int64_t workspace_offset = 0;
    int64_t workspace_bytes = 0;
  };
  struct Copy {
    Tensor from, to;
  };
  struct Step {
    std::vector<Copy> copies;
    std::vector<std::unique_ptr<Executable>> segments;
  };
  void copy(const Copy& copy);
  const PlacedPart* find_output(std::string_view name, ValueId& id) const;

  std::vector<PlacedPart> parts_;
  std::vector<Turn> turns_;
  std::vector<Step> steps_;         // of the turns, once bound
  std::vector<std::byte> staging_;  // for copies between devices that the host cannot address
  std::vector<std::string> expanded_;
  std::vector<std::string> fallbacks_;
};

}  // namespace g4
