// A stand-in for a graphics card: the CPU's kernels over memory of its own, of limited size, that nothing else may
// touch. What a step hands it from elsewhere is an error, and so is using more than it has.
#pragma once

#include <memory>
#include <set>

#include "backends/registry.h"

namespace g4::test {

inline constexpr int64_t kPlenty = int64_t{1} << 40;

struct Card {
  int64_t memory = kPlenty;     // that it says it has
  int64_t breaks_at = kPlenty;  // bytes at which allocating fails all the same
  bool present = true;
  bool reads_host_memory = true;
  int64_t micro_batch = 512;
  bool takes_media = true;
  int64_t held = 0;  // by all backends of it
  int64_t tables_on_host = 0;
};

// The one card of the test program.
inline Card& card() {
  static Card one;
  return one;
}

using Owned = std::set<const Buffer*>;

class CardBuffer final : public Buffer {
 public:
  CardBuffer(std::unique_ptr<Buffer> memory, std::shared_ptr<Owned> owned, bool counts)
      : memory_(std::move(memory)), owned_(std::move(owned)), bytes_(counts ? memory_->size() : 0) {
    if (bytes_ > 0 && card().held + bytes_ > card().breaks_at)
      fail<MemoryError>("memory", "card: ", bytes_, " bytes asked for, ", card().breaks_at - card().held, " free");
    card().held += bytes_;
    owned_->insert(this);
  }
  ~CardBuffer() override {
    card().held -= bytes_;
    owned_->erase(this);
  }
  int64_t size() const override { return memory_->size(); }
  std::byte* host() override { return memory_->host(); }
  void write(int64_t offset, const void* source, int64_t bytes) override { memory_->write(offset, source, bytes); }
  void read(int64_t offset, void* target, int64_t bytes) const override { memory_->read(offset, target, bytes); }

 private:
  std::unique_ptr<Buffer> memory_;
  std::shared_ptr<Owned> owned_;
  int64_t bytes_;
};

class CardBackend final : public Backend {
 public:
  explicit CardBackend(const BackendOptions& options) : cpu_(create_backend("cpu", options)) {}

  static DeviceInfo probe() {
    DeviceInfo info;
    info.name = "card";
    info.available = card().present;
    info.reason = card().present ? "" : "no card in the slot";
    info.memory_total = info.memory_available = card().memory;
    return info;
  }

  std::string name() const override { return "card"; }
  DeviceInfo device() const override { return probe(); }
  bool reads_host_memory() const override { return card().reads_host_memory; }
  int64_t micro_batch() const override { return card().micro_batch; }
  std::unique_ptr<Buffer> allocate(int64_t bytes) override { return own(cpu_->allocate(bytes), true); }
  TensorLayout layout_of(const HostWeights& weights) const override { return cpu_->layout_of(weights); }
  DeviceWeights import(const HostWeights& weights) override {
    if (weights.stays_on_host) card().tables_on_host += static_cast<int64_t>(weights.bytes.size());
    DeviceWeights imported = cpu_->import(weights);
    return {own(std::move(imported.buffer), !weights.stays_on_host), imported.layout, weights.stays_on_host};
  }
  bool supports(const OpCall& call) const override {
    const bool media = call.op->name == "replace_rows" || (call.op->name == "attention" && call.inputs.size() > 4);
    return (card().takes_media || !media) && cpu_->supports(call);
  }
  int64_t workspace(const OpCall& call) const override { return cpu_->workspace(call); }
  std::unique_ptr<Executable> compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                      int64_t workspace_offset) override {
    for (size_t n = first; n < last; ++n) {
      const Node& node = graph->graph.nodes()[n];
      for (const auto* values : {&node.inputs, &node.outputs})
        for (ValueId id : *values)
          if (!owned_->count(graph->tensor(id).buffer))
            fail<InternalError>("card", node.op->name, " gets memory of another device");
    }
    return cpu_->compile(std::move(graph), first, last, workspace_offset);
  }

 private:
  std::unique_ptr<Buffer> own(std::unique_ptr<Buffer> memory, bool counts) const {
    return std::make_unique<CardBuffer>(std::move(memory), owned_, counts);
  }

  std::unique_ptr<Backend> cpu_;
  std::shared_ptr<Owned> owned_ = std::make_shared<Owned>();
};

// `priority`: above the CPU's, so that "auto" finds it where it is present.
inline const BackendRegistration card_registration(
    "card", 5, [](const BackendOptions& o) -> std::unique_ptr<Backend> { return std::make_unique<CardBackend>(o); },
    CardBackend::probe);

}  // namespace g4::test
