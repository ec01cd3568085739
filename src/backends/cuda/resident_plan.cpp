#include "backends/cuda/resident_plan.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>

#include "backends/cuda/attention_plan.h"
#include "backends/cuda/device_buffer.h"

namespace g4::cuda {
namespace {

constexpr size_t kLeastJobs = 8;  // that are worth a kernel of their own
constexpr int kAlign = 128;
constexpr int kOwnShared = 7 * 1024;  // beside the dynamic part: jobs at hand, barriers

int64_t aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// What runs together: the nodes of a phase or of an attention.
struct Item {
  size_t first = 0, nodes = 0;
  std::optional<PhaseCall> phase;
  AttentionOne attention;
};

class Stretch {
 public:
  Stretch(const PlacedGraph& graph, const DeviceLimits& limits, const std::vector<int>& readers)
      : graph_(graph), limits_(limits), readers_(readers) {}

  FoundResident run(size_t first, size_t last) {
    const PhasePlan phases(graph_, limits_, readers_);
    size_t next = first;
    while (next < last) {
      Item item{next, 0, {}, {}};
      if (const FoundAttention found = find_attention(graph_, limits_, readers_, next, last); found.nodes) {
        item.nodes = found.nodes, item.attention = found.call;
        if (!takes(found.call)) break;
      } else if (const FoundPhase phase = phases.at(next, last); phase.nodes) {
        item.nodes = phase.nodes, item.phase = phase.call;
        if (!takes(phase.call)) break;
      } else {
        break;
      }
      next += item.nodes;
      items_.push_back(item);
    }
    first_ = first, end_ = next;
    if (items_.size() < kLeastJobs || !translate()) return {};
    lay_out();
    if (program_->layout.bytes + kOwnShared > limits_.shared_bytes) return {};
    return {end_ - first_, program_};
  }

 private:
  const Node& node(size_t n) const { return graph_.graph.nodes()[n]; }
  const std::byte* address(ValueId id) const {
    const Tensor t = graph_.tensor(id);
    const auto* buffer = dynamic_cast<const DeviceBuffer*>(t.buffer);
    return buffer ? buffer->device() + t.offset : nullptr;
  }
  ValueId root(ValueId id) const { return graph_.graph.root(id); }

  // --- what can be part of a stretch ---------------------------------------------------------------------------------

  bool takes(const AttentionOne& call) const {
    return call.raw_queries && call.q.dtype == DType::BF16 && resident_attention_bytes(call.q.dim[2]) > 0 &&
           call.k_cache.dim[1] <= limits_.multiprocessors && call.q.stride[1] == call.q.dim[2] * 2;
  }
  bool takes(const PhaseCall& call) {
    for (int j = 0; j < call.jobs; ++j) {
      const DType weights = call.weights[j];
      if (weights != DType::BF16) {
        if (!resident_takes(weights) || (main_ != DType::BF16 && main_ != weights)) return false;
        main_ = weights;
      }
      PhaseJob job = call.job[j];
      place_phase_operands(job);
      if (job.x_type != DType::BF16 || (job.steps && !job.all_bf16) || job.out_type == DType::F16) return false;
      int numbers = 0;
      for (int s = 0; s < job.steps; ++s) numbers += job.step[s].one_number;
      if (numbers > 1) return false;
      if (job.choices && !job.logits && job.ids != ids_) return false;
      if (job.choices && job.logits) ids_ = job.ids;
    }
    return true;
  }

  // --- who makes and who reads ---------------------------------------------------------------------------------------

  bool read_inside(ValueId id, size_t from) const {
    for (size_t n = from; n < end_; ++n)
      for (ValueId input : node(n).inputs)
        if (root(input) == root(id)) return true;
    return false;
  }
  size_t last_reader(ValueId id) const {
    size_t last = first_;
    for (size_t n = first_; n < end_; ++n)
      for (ValueId input : node(n).inputs)
        if (root(input) == root(id)) last = n;
    return last;
  }
  bool read_outside(ValueId id) const {
    int inside = 0;
    for (size_t n = first_; n < end_; ++n)
      for (ValueId input : node(n).inputs) inside += root(input) == root(id);
    return readers_[static_cast<size_t>(root(id))] > inside;
  }
  // The value that an item's node leaves at this address; -1: none.
  ValueId made_at(const Item& item, const std::byte* data) const {
    for (size_t n = item.first + item.nodes; n-- > item.first;)
      for (ValueId id : node(n).outputs)
        if (address(id) == data) return id;
    return -1;
  }
  std::optional<ResidentSource> source(const Item& item, const std::byte* data, DType type) const {
    ResidentSource from;
    from.type = type, from.data = data;
    for (size_t n = item.first; n < item.first + item.nodes; ++n)
      for (ValueId id : node(n).inputs) {
        if (address(id) != data) continue;
        const auto known = made_.find(root(id));
        if (known == made_.end()) {
          const int32_t producer = graph_.graph.value(root(id)).producer;
          if (producer >= static_cast<int32_t>(first_) && producer < static_cast<int32_t>(item.first)) return {};
          continue;
        }
        const int64_t offset = data - address(root(id));
        ResidentSource made = known->second;
        made.type = type;
        if (made.from == ResidentSource::From::Message)
          made.data += offset * kMessageWord / 4;
        else
          made.kept_at += static_cast<int>(offset);
        return made;
      }
    return from;
  }

  std::byte* message(int64_t words) {
    const int64_t at = aligned(program_->message_bytes);
    program_->message_bytes = at + words * kMessageWord;
    return reinterpret_cast<std::byte*>(at);
  }
  // Whoever reads the value inside gets a message; the plain store stays where somebody outside reads it.
  std::byte* announce(ValueId id, size_t after, int64_t bytes, std::byte*& plain) {
    std::byte* to = nullptr;
    if (read_inside(id, after)) {
      to = message(bytes / 4);
      made_[root(id)] = {ResidentSource::From::Message, DType::BF16, static_cast<int>(program_->jobs.size()), 0, to};
    }
    if (!read_outside(id)) plain = nullptr;
    return to;
  }

  // --- jobs ----------------------------------------------------------------------------------------------------------

  bool translate() {
    program_ = std::make_shared<ResidentProgram>();
    program_->weights = main_;
    message(1);  // nobody's message is at 0
    for (const Item& item : items_)
      if (!(item.phase ? products(item) : attention(item))) return false;
    if (parts_bytes_ > 0) {
      std::byte* const parts = message(parts_bytes_ / kMessageWord);
      std::byte* const peaks = message(peaks_bytes_ / kMessageWord);
      for (ResidentJob& job : program_->jobs)
        if (job.kind != ResidentJob::Kind::Products) job.attention.parts = parts, job.attention.peaks = peaks;
    }
    return true;
  }

  bool products(const Item& item) {
    for (int j = 0; j < item.phase->jobs; ++j) {
      ResidentJob job;
      PhaseJob& c = job.phase = item.phase->job[j];
      const DType weights = item.phase->weights[j];
      job.rows_format = weights == DType::BF16 && main_ != DType::BF16;
      staging_ = std::max(staging_, place_phase_operands(c));
      const int operands = std::max(c.operands, 1);
      for (int o = 0; o < operands; ++o) {
        const auto from = source(item, o ? c.operand[o] : c.x, o ? c.operand_type[o] : c.x_type);
        if (!from) return false;
        job.operand[o] = *from;
      }
      for (int s = 0; s < c.steps; ++s) {
        job.keep_at[s] = -1;
        if (c.step[s].out && !keep(item, job, s)) return false;
      }
      if (c.end == PhaseEnd::GeluMul) {
        const auto other = source(item, c.other, c.other_type);
        if (!other) return false;
        job.other = *other;
      }
      if (c.choices && !choice(item, job)) return false;
      for (int m = 0; m < c.matrices; ++m) {
        const ValueId made = made_at(item, c.out[m]);
        if (made < 0) return false;
        const int64_t rows = c.rows_end[m] - (m ? c.rows_end[m - 1] : 0);
        const int64_t many = c.choices && !c.choices_are_lines ? c.choices : 1;
        job.message[m] = announce(made, item.first + item.nodes, rows * many * row_bytes(c.out_type, 1), c.out[m]);
        if (job.message[m] && c.out_type == DType::F32) made_[root(made)].type = DType::F32;
      }
      c.blocks = limits_.multiprocessors;
      job.first_block = turn_;
      turn_ = (turn_ + c.tasks) % limits_.multiprocessors;
      measure_resident(job, weights);
      row_ = std::max(row_, resident_row_bytes(weights, c.cols));
      program_->jobs.push_back(job);
    }
    return true;
  }

  // A row that the steps leave for others: in every block's memory.
  bool keep(const Item& item, ResidentJob& job, int s) {
    PhaseStep& step = job.phase.step[s];
    const ValueId made = made_at(item, step.out);
    if (made < 0 || step.type != DType::BF16) return false;
    if (read_inside(made, item.first + item.nodes)) {
      const int bytes = static_cast<int>(aligned(job.phase.cols * 2));
      auto place = std::find_if(kept_.begin(), kept_.end(),
                                [&](const KeptRow& row) { return row.bytes == bytes && row.last < item.first; });
      if (place == kept_.end()) {
        kept_.push_back({kept_bytes_, bytes, 0});
        kept_bytes_ += bytes;
        place = kept_.end() - 1;
      }
      place->last = last_reader(made);
      job.keep_at[s] = place->at;
      job.every_block = true;
      made_[root(made)] = {ResidentSource::From::Kept, DType::BF16, -1, place->at, nullptr};
    }
    if (!read_outside(made)) step.out = nullptr;
    return true;
  }

  bool choice(const Item& item, ResidentJob& job) {
    PhaseJob& c = job.phase;
    job.same_choice = !c.logits;
    if (c.logits) {
      const auto logits = source(item, c.logits, c.logits_type);
      if (!logits) return false;
      job.logits = *logits;
      for (const auto* data : {reinterpret_cast<const std::byte*>(c.ids), reinterpret_cast<const std::byte*>(c.weights)})
        if (const ValueId made = made_at(item, data); made >= 0 && read_outside(made)) return false;
    }
    return true;
  }

  bool attention(const Item& item) {
    const AttentionOne& one = item.attention;
    ResidentJob job;
    job.kind = ResidentJob::Kind::Attention;
    ResidentAttention& a = job.attention;
    a.c = attention_of(one);
    const auto q = source(item, one.q.data, DType::BF16);
    if (!q) return false;
    a.q = *q;
    a.own = one.k != nullptr;
    if (a.own) {
      const auto k = source(item, one.k, DType::BF16), v = source(item, one.v, DType::BF16);
      if (!k || !v) return false;
      a.k = *k, a.v = *v;
    }
    a.q_weight = one.q_weight, a.k_weight = one.k_weight;
    a.turns = one.turns, a.turns_type = one.turns_type, a.inner = one.inner;
    a.q_eps = one.q_eps, a.k_eps = one.k_eps, a.v_eps = one.v_eps;
    const int64_t chunks = (one.window ? one.window : a.c.slots) / kChunk + 2;
    a.splits = static_cast<int>(std::clamp<int64_t>(limits_.multiprocessors / a.c.kv_heads, 1, chunks));
    const int pairs = a.c.heads * a.c.d / 2;
    a.units = (pairs + limits_.multiprocessors - 1) / limits_.multiprocessors;
    if (a.units > kThreads) return false;
    const auto most = static_cast<unsigned>(std::min({32, kThreads / a.units, a.splits}));
    a.lanes = static_cast<int>(std::bit_floor(most));
    const int64_t rows = int64_t{a.c.kv_heads} * a.splits * 16;
    parts_bytes_ = std::max(parts_bytes_, rows * a.c.d * kMessageWord);
    peaks_bytes_ = std::max(peaks_bytes_, rows * 2 * kMessageWord);
    attention_ = std::max(attention_, resident_attention_bytes(a.c.d));
    program_->jobs.push_back(job);
    job.kind = ResidentJob::Kind::Merge;
    const ValueId made = made_at(item, one.out.data);
    if (made < 0) return false;
    a.plain_out = one.out.data;
    a.out = announce(made, item.first + item.nodes, int64_t{a.c.heads} * a.c.d * 2, a.plain_out);
    program_->jobs.push_back(job);
    return true;
  }

  void lay_out() {
    ResidentLayout& l = program_->layout;
    l.slots = static_cast<int>(aligned(kept_bytes_));
    l.work = static_cast<int>(aligned(l.slots + resident_slot_bytes(main_)));
    l.partial = static_cast<int>(aligned(row_));
    l.staging = static_cast<int>(aligned(l.partial + resident_partial_bytes()));
    l.bytes = l.work + std::max(l.staging + staging_, attention_);
  }

  static constexpr int kThreads = 256;
  struct KeptRow {
    int at, bytes;
    size_t last;  // node that reads it
  };

  const PlacedGraph& graph_;
  const DeviceLimits& limits_;
  const std::vector<int>& readers_;
  size_t first_ = 0, end_ = 0;
  std::vector<Item> items_;
  DType main_ = DType::BF16;
  const int32_t* ids_ = nullptr;
  std::shared_ptr<ResidentProgram> program_;
  std::map<ValueId, ResidentSource> made_;  // by root
  std::vector<KeptRow> kept_;
  int kept_bytes_ = 0, staging_ = 0, attention_ = 0, turn_ = 0;
  int64_t row_ = 0, parts_bytes_ = 0, peaks_bytes_ = 0;
};

}  // namespace

void ResidentProgram::place(std::byte* base) {
  const auto move = [&](std::byte*& p) {
    if (p) p = base + reinterpret_cast<intptr_t>(p);
  };
  const auto move_source = [&](ResidentSource& s) {
    if (s.from == ResidentSource::From::Message) s.data = base + reinterpret_cast<intptr_t>(s.data);
  };
  for (ResidentJob& job : jobs) {
    for (std::byte*& m : job.message) move(m);
    for (ResidentSource& s : job.operand) move_source(s);
    for (ResidentSource* s : {&job.other, &job.logits, &job.attention.q, &job.attention.k, &job.attention.v})
      move_source(*s);
    for (std::byte** p : {&job.attention.parts, &job.attention.peaks, &job.attention.out}) move(*p);
  }
}

FoundResident find_resident(const PlacedGraph& graph, const DeviceLimits& limits, const std::vector<int>& readers,
                            size_t first, size_t last) {
  if (limits.architecture < 90 || limits.architecture >= 100) return {};
  return Stretch(graph, limits, readers).run(first, last);
}

}  // namespace g4::cuda
