// Models spread over several devices: a card of its own memory beside the CPU (card_backend.h), or several CPUs. Where
// layers lie changes no bit of the logits, and a card that is too small takes what fits.
#include <algorithm>
#include <numeric>

#include "base/log.h"
#include "check.h"
#include "model/card_backend.h"
#include "model/model_file.h"
#include "runtime/engine.h"

namespace g4 {
namespace {

using test::card;
using test::kModelKinds;
using test::model_path;
using test::ModelKind;

constexpr int64_t kLayers = 6;
using Map = std::vector<std::pair<std::string, int64_t>>;

EngineOptions options_with(const std::string& device, int64_t n_ctx = 160) {
  EngineOptions options;
  options.device = device;
  options.n_ctx = n_ctx;
  options.n_threads = 1;
  options.micro_batch = 16;
  return options;
}

EngineOptions options_of(const Map& map) {
  EngineOptions options = options_with("auto");
  options.device_map = map;
  return options;
}

Engine engine(const ModelKind& kind, const EngineOptions& options) {
  return Engine(GgufFile::open(model_path(kind)), options);
}

PlacePlan last_place(const ModelKind& kind, const EngineOptions& options) {
  return engine(kind, options).memory_plan().places.back();
}

int64_t chosen_micro_batch(const ModelKind& kind, const EngineOptions& options) {
  return engine(kind, options).options().micro_batch;
}

std::vector<int32_t> prompt(int n, int seed) {
  std::vector<int32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back((i * 37 + 11 * seed + i * i % 7) % test::kVocab);
  return ids;
}

// All logits of what a conversation does: a prompt in chunks past the windows' rings, decoding, a snapshot, an answer,
// going back behind it, a prefix of the prompt, rows in the middle, and a trace.
std::vector<float> conversation(Engine& e) {
  std::vector<float> all;
  const auto take = [&] { all.insert(all.end(), e.last_logits().begin(), e.last_logits().end()); };
  const std::vector<int32_t> first = prompt(70, 1);
  e.prefill(first);
  take();
  e.snapshot();
  for (int32_t id = 3; id < 43; ++id) {
    e.decode(id);
    take();
  }
  std::vector<int32_t> next(first.begin(), first.end() - 4);
  for (int32_t id : prompt(3, 2)) next.push_back(id);
  const int64_t computed = e.prefill(next);
  CHECK_EQ(computed, 3);  // the snapshot's rings came back, and the window reaches into them
  take();
  std::vector<int32_t> prefix(next.begin(), next.end() - 2);
  prefix.push_back(5);
  CHECK_EQ(e.prefill(prefix), 1);
  take();
  const std::vector<int64_t> positions{0, 17, 18, 40, 69};
  e.logits(first, positions, {},
           [&](size_t, std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); });
  e.reset();
  for (const auto& [name, array] : e.trace(std::span(first).first(16), {}))
    all.insert(all.end(), array.values.begin(), array.values.end());
  return all;
}

const std::vector<float>& on_one_cpu(const ModelKind& kind) {
  static std::map<std::string, std::vector<float>> known;
  std::vector<float>& all = known[kind.name];
  if (all.empty()) {
    Engine e = engine(kind, options_with("cpu"));
    all = conversation(e);
  }
  return all;
}

struct Warnings {
  Warnings() {
    set_warning_sink([this](const std::string& text) { lines.push_back(text); });
  }
  ~Warnings() {
    set_warning_sink({});
    card() = {};
  }
  std::vector<std::string> lines;
};

void check_same(const ModelKind& kind, const Map& map) {
  Engine e = engine(kind, options_of(map));
  const bool same = conversation(e) == on_one_cpu(kind);
  if (!same)
    for (const auto& [device, layers] : map)
      std::printf("%s: %s holds %d layers\n", kind.name, device.c_str(), static_cast<int>(layers));
  CHECK(same);
}

TEST(every_split_of_two_devices_gives_the_same_bits) {
  for (const ModelKind& kind : kModelKinds)
    for (int64_t n = 0; n <= kLayers; ++n) {
      check_same(kind, {{"cpu", n}, {"card", kLayers - n}});
      check_same(kind, {{"card", n}, {"cpu", kLayers - n}});
    }
}

TEST(two_cpus_are_two_devices) {
  for (const ModelKind& kind : kModelKinds) check_same(kind, {{"cpu", 2}, {"cpu", 4}});
}

TEST(three_devices_by_turns) {
  for (const ModelKind& kind : kModelKinds) {
    check_same(kind, {{"cpu", 1}, {"card", 3}, {"cpu", 2}});
    check_same(kind, {{"card", 2}, {"cpu", 3}, {"card", 1}});
    check_same(kind, {{"card", 2}, {"card", 2}, {"card", 2}});
  }
}

TEST(other_modes_and_micro_batches) {
  for (const ModelKind& kind : kModelKinds)
    for (const char* compute : {"f32", "f16"})
      for (int64_t micro_batch : {1, 7}) {
        EngineOptions one = options_with("cpu"), two = options_of({{"cpu", 4}, {"card", 2}});
        for (EngineOptions* o : {&one, &two}) o->compute = compute, o->micro_batch = micro_batch;
        Engine a = engine(kind, one), b = engine(kind, two);
        const std::vector<int32_t> ids = prompt(60, 3);
        for (Engine* e : {&a, &b}) e->prefill(ids);
        CHECK(std::ranges::equal(a.last_logits(), b.last_logits()));
      }
}

TEST(n_gpu_layers_counts_the_last_layers_and_the_head) {
  const Warnings warnings;
  const ModelKind& kind = kModelKinds[0];
  for (int64_t n = 0; n <= kLayers + 3; ++n) {
    EngineOptions options = options_with("card");
    options.n_gpu_layers = n;
    const Engine e = engine(kind, options);
    const std::vector<PlacePlan>& places = e.memory_plan().places;
    CHECK_EQ(places.size(), n == 0 || n > kLayers ? 1u : 2u);
    CHECK_EQ(places.back().device, n == 0 ? "cpu" : "card");
    CHECK_EQ(places.back().n_layers, n == 0 || n > kLayers ? kLayers : n - 1);
    CHECK_EQ(std::accumulate(places.begin(), places.end(), int64_t{0},
                             [](int64_t sum, const PlacePlan& p) { return sum + p.n_layers; }),
             kLayers);
  }
  EngineOptions all = options_with("auto");
  all.n_gpu_layers = -1;
  CHECK_EQ(last_place(kind, all).device, "card");
  CHECK(warnings.lines.empty());
}

TEST(a_map_may_leave_one_number_open) {
  const ModelKind& kind = kModelKinds[0];
  CHECK_EQ(last_place(kind, options_of({{"cpu", 2}, {"card", -1}})).n_layers, 4);
  CHECK_EQ(last_place(kind, options_of({{"cpu", -1}, {"card", 6}})).first_layer, 0);
}

TEST(a_card_without_kernels_for_media) {
  const ModelKind& kind = kModelKinds[0];
  EngineOptions some = options_with("auto");
  some.max_media_span = 20;
  CHECK_EQ(last_place(kind, some).device, "card");
  const Warnings warnings;
  card().takes_media = false;
  CHECK_EQ(last_place(kind, some).device, "cpu");
  CHECK_EQ(warnings.lines.size(), 1u);
  CHECK_EQ(last_place(kind, options_with("auto")).device, "card");
  some.device = "card";
  CHECK_THROWS(engine(kind, some), DeviceError,
               "[media] card takes no images and no audio in these formats; the CPU does");
  some = options_of({{"cpu", 3}, {"card", 3}});
  some.max_media_span = 20;
  CHECK_THROWS(engine(kind, some), DeviceError, "[media] card");
  // Where media need not be, text stays on the card.
  some.media_required = false;
  CHECK_EQ(last_place(kind, some).device, "card");
  some = options_with("auto");
  some.max_media_span = 20;
  some.media_required = false;
  const Engine text = engine(kind, some);
  CHECK_EQ(text.device(), "card");
  CHECK_EQ(text.options().max_media_span, 0);
  CHECK_EQ(warnings.lines.size(), 1u);
  some.device = "cpu";
  const Engine all = engine(kind, some);
  CHECK_EQ(all.options().max_media_span, 20);
}

TEST(nonsense_is_refused) {
  const Warnings restore;
  const ModelKind& kind = kModelKinds[0];
  EngineOptions o = options_with("card");
  o.n_gpu_layers = -2;
  CHECK_THROWS(engine(kind, o), ArgumentError, "n_gpu_layers] a number of layers, or -1 for all, expected, got -2");
  o = options_with("cpu");
  o.n_gpu_layers = 3;
  CHECK_THROWS(engine(kind, o), DeviceError, "n_gpu_layers: a GPU expected, device is cpu");
  card().present = false;
  o.device = "auto";
  CHECK_THROWS(engine(kind, o), DeviceError, "card: no card in the slot");
  o.n_gpu_layers = 0;
  CHECK_EQ(last_place(kind, o).device, "cpu");
  CHECK_THROWS(engine(kind, options_of({{"cpu", 3}, {"card", 3}})), DeviceError, "no card in the slot");
  CHECK_THROWS(engine(kind, options_of({{"cpu", 3}, {"cpu", 4}})), ArgumentError, "6 layers expected, got 7");
  CHECK_THROWS(engine(kind, options_of({{"cpu", 7}, {"cpu", -1}})), ArgumentError,
               "0 to 6 layers, or once the rest, expected, got 7");
  CHECK_THROWS(engine(kind, options_of({{"cpu", -1}, {"cpu", -1}})), ArgumentError, "once the rest, expected, got -1");
  CHECK_THROWS(engine(kind, options_of({{"cpu", 3}, {"abacus", 3}})), DeviceError, "abacus");
  o = options_of({{"cpu", 3}, {"cpu", 3}});
  o.device = "cpu";
  CHECK_THROWS(engine(kind, o), ArgumentError, "both given");
  o.device = "auto";
  o.n_gpu_layers = 1;
  CHECK_THROWS(engine(kind, o), ArgumentError, "both given");
}

// What the card needs for everything.
MemoryPlan whole_plan(const ModelKind& kind) {
  return Engine::plan(GgufFile::open(model_path(kind)), options_with("card"));
}

TEST(a_small_card_takes_as_many_layers_as_fit) {
  for (const ModelKind& kind : kModelKinds) {
    Warnings warnings;
    const MemoryPlan whole = whole_plan(kind);
    CHECK_EQ(whole.places.size(), 1u);
    card().reads_host_memory = false;
    int64_t most = kLayers + 1;
    for (int64_t percent = 100; percent >= 20; percent -= 20) {
      card().memory = card().breaks_at = whole.devices[0].needed * percent / 100 - (percent == 100 ? 1 : 0);
      warnings.lines.clear();
      Engine e = engine(kind, options_with("auto"));
      const MemoryPlan& plan = e.memory_plan();
      CHECK_EQ(plan.places.size(), 2u);
      CHECK(plan.fits());
      const int64_t taken = plan.places.back().n_layers + 1;
      CHECK(taken >= 1 && taken <= most);
      most = taken;
      CHECK_EQ(warnings.lines.size(), 1u);
      CHECK(warnings.lines.at(0).find(concat("n_gpu_layers=", taken, " of 7 on card")) != std::string::npos);
      CHECK(warnings.lines.at(0).find('\n') == std::string::npos);
      const PlacePlan& there = plan.places.back();
      CHECK(card().held <= there.weights + there.kv_cache + there.activations + 4096);  // constants beside them
      EngineOptions more = options_with("card");
      more.n_gpu_layers = taken + 1;  // it was the largest number
      CHECK_THROWS(engine(kind, more), MemoryError, "card");
      CHECK(conversation(e) == on_one_cpu(kind));
    }
    CHECK(most < kLayers);
    card().memory = 1000;
    CHECK_EQ(last_place(kind, options_with("auto")).device, "cpu");
    CHECK_THROWS(engine(kind, options_with("card")), MemoryError, "does not fit");
  }
}

TEST(a_prompt_takes_smaller_steps_before_anything_leaves_the_card) {
  for (const ModelKind& kind : kModelKinds) {
    const Warnings restore;
    EngineOptions o = options_with("card", 4096);
    card().micro_batch = 4096;
    for (const int64_t fits : {2048, 512}) {
      o.micro_batch = fits;
      const int64_t needed = Engine::plan(GgufFile::open(model_path(kind)), o).devices[0].needed;
      o.micro_batch = 0;
      card().memory = needed;
      CHECK_EQ(chosen_micro_batch(kind, o), fits);
      card().memory = needed - 1;
      card().reads_host_memory = false;
      o.device = "auto";
      const MemoryPlan less = Engine::plan(GgufFile::open(model_path(kind)), o);
      o.device = "card";
      CHECK_EQ(less.places.size(), fits == 512 ? 2u : 1u);
      CHECK_EQ(less.micro_batch, fits == 512 ? 512 : fits / 2);
      CHECK_EQ(less.n_ctx, 4096);
      card().memory = test::kPlenty;
    }
    CHECK_EQ(chosen_micro_batch(kind, o), 4096);
  }
}

TEST(the_table_of_per_layer_embeddings_moves_to_host_memory_first) {
  Warnings warnings;
  const ModelKind& kind = kModelKinds[0];
  const MemoryPlan whole = whole_plan(kind);
  card().memory = whole.devices[0].needed - 1;
  Engine e = engine(kind, options_with("auto"));
  const MemoryPlan& plan = e.memory_plan();
  CHECK_EQ(plan.places.size(), 1u);
  CHECK_EQ(plan.places[0].device, "card");
  const int64_t table = test::kVocab * kLayers * 32 * 2;
  CHECK_EQ(plan.host_weights, table);
  CHECK_EQ(card().tables_on_host, table);
  CHECK_EQ(plan.weights, whole.weights);
  CHECK_EQ(plan.places[0].weights, whole.places[0].weights - table);
  CHECK_EQ(warnings.lines.size(), 1u);
  CHECK(conversation(e) == on_one_cpu(kind));
}

TEST(running_out_of_memory_is_an_error_with_the_plan_and_leaves_nothing) {
  const Warnings restore;
  const ModelKind& kind = kModelKinds[0];
  const MemoryPlan whole = whole_plan(kind);
  for (int64_t percent : {1, 30, 60, 80, 90, 95, 99}) {
    card().breaks_at = whole.devices[0].needed * percent / 100;  // less than it says it has
    CHECK_THROWS(engine(kind, options_with("card")), MemoryError, "; the plan: weights ");
    CHECK_EQ(card().held, 0);
  }
  card() = {};
  Engine e = engine(kind, options_with("card"));
  CHECK(conversation(e) == on_one_cpu(kind));
}

TEST(memory_is_as_planned) {
  const Warnings restore;
  for (const ModelKind& kind : kModelKinds) {
    const Engine e = engine(kind, options_of({{"cpu", 2}, {"card", 4}}));
    const PlacePlan& there = e.memory_plan().places[1];
    CHECK_EQ(there.first_layer, 2);
    const int64_t planned = there.weights + there.kv_cache + there.activations;
    CHECK(card().held >= planned);
    CHECK(card().held <= planned + 4096);  // constants and the step's ids
  }
  CHECK_EQ(card().held, 0);
}

}  // namespace
}  // namespace g4

G4_TEST_MAIN
