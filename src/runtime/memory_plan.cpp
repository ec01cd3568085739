#include "runtime/memory_plan.h"

#include <algorithm>
#include <cstdio>

namespace g4 {

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

bool MemoryPlan::fits() const {
  return std::all_of(devices.begin(), devices.end(), [](const DeviceUse& d) { return d.needed <= d.available; });
}

bool MemoryPlan::fits(const std::string& device) const {
  return std::all_of(devices.begin(), devices.end(),
                     [&](const DeviceUse& d) { return d.device != device || d.needed <= d.available; });
}

std::string describe_places(const std::vector<PlacePlan>& places) {
  if (places.size() == 1) return places[0].device;
  std::string text;
  for (size_t i = 0; i < places.size(); ++i) {
    const PlacePlan& p = places[i];
    if (i > 0) text += "; ";
    text += p.device + ", ";
    if (i == 0) text += "the embeddings and ";
    if (p.n_layers == 0)
      text += "no layer";
    else
      text += "layers " + std::to_string(p.first_layer) + "-" + std::to_string(p.first_layer + p.n_layers - 1);
    if (i + 1 == places.size()) text += " and the head";
  }
  return text;
}

std::string describe(const MemoryPlan& plan) {
  std::string text =
      "weights " + megabytes(plan.weights) + " + KV cache " + megabytes(plan.kv_cache) + " (n_ctx " +
      std::to_string(plan.n_ctx) + ") + KV snapshot " + megabytes(plan.kv_snapshot) + " + activations " +
      megabytes(plan.activations) + (plan.soft_tokens ? " + soft tokens " + megabytes(plan.soft_tokens) : "") +
      (plan.projector ? " + projector " + megabytes(plan.projector) : "") + " = " + megabytes(plan.total());
  for (const DeviceUse& d : plan.devices)
    text += "; " + d.device + ": " + megabytes(d.needed) + " of " + megabytes(d.available) + " available";
  if (plan.places.size() > 1) text += " (" + describe_places(plan.places) + ")";
  return text;
}

}  // namespace g4
