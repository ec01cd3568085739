// The backend interface: memory, what runs where, and turning a placed graph into something that runs.
// A backend registers itself by name (registry.h); models and the runtime know only this interface.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "graph/graph.h"
#include "graph/memory_planner.h"
#include "tensor/host_weights.h"

namespace g4 {

// Called between nodes; what it throws stops the run.
using Poll = std::function<void()>;

struct DeviceInfo {
  std::string name;         // "cpu"
  std::string description;  // "Intel Xeon, 16 cores, AVX-512"
  bool available = true;
  std::string reason;  // why not
  int64_t memory_total = 0;
  int64_t memory_available = 0;
};

// One application of an operation, without the graph around it: what a backend is asked about.
struct OpCall {
  const OpDef* op = nullptr;
  const OpParams* params = nullptr;
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
};
OpCall call_of(const Graph& graph, const Node& node);

// A graph whose values have all got a place: externals their own, intermediates theirs in `arena`.
struct PlacedGraph {
  Graph graph;
  ArenaPlan plan;
  Buffer* arena = nullptr;

  Tensor tensor(ValueId id) const;
};

// Nodes [first, last) of a placed graph, ready to run any number of times.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual void run(const Poll& poll) = 0;
  // Runs once more and returns what each node took by the device's own clock; empty where nodes run as `run` polls.
  virtual std::vector<double> node_milliseconds() { return {}; }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual DeviceInfo device() const = 0;
  virtual int n_threads() const { return 1; }
  // Tokens a step of a prompt, where nobody chooses: enough to keep the device busy.
  virtual int64_t micro_batch() const { return 512; }
  // Bytes a second that the device reads its memory at, measured now; 0 where nothing measures it.
  virtual double read_speed() { return 0; }

  // Whether kernels read host memory in place (HostWeights::stays_on_host), where their own has no room.
  virtual bool reads_host_memory() const { return false; }
  // Bytes the device needs beside `planned` ones for what is allocated after loading: for its own use, and while it
  // loads weights of which the largest has so many bytes.
  virtual int64_t reserve(int64_t largest_weight, int64_t planned) const {
    (void)largest_weight, (void)planned;
    return 0;
  }

  // Zeroed memory, committed as it is touched where the device can do that. Throws MemoryError.
  virtual std::unique_ptr<Buffer> allocate(int64_t bytes) = 0;
  // The same for what the host fills before each run: it has an address on the host where both can use one memory.
  virtual std::unique_ptr<Buffer> allocate_input(int64_t bytes) { return allocate(bytes); }
  // Weights that lie in host memory (a mapped file) for this device: a view where it can read them in place, else a
  // copy, perhaps in the layout that suits its kernels.
  virtual DeviceWeights import(const HostWeights& weights) = 0;
  // The layout that `import` gives.
  virtual TensorLayout layout_of(const HostWeights& weights) const {
    (void)weights;
    return TensorLayout::Rows;
  }

  virtual bool supports(const OpCall& call) const = 0;
  // Scratch bytes that the call needs while it runs.
  virtual int64_t workspace(const OpCall& call) const = 0;
  // `workspace_offset`: where in the arena the scratch bytes begin.
  virtual std::unique_ptr<Executable> compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                              int64_t workspace_offset) = 0;
  // Small values keep their bytes for so many nodes after the last that reads them (graph/memory_planner.h).
  virtual int32_t linger() const { return 0; }
};

}  // namespace g4
