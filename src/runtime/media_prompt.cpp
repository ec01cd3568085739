#include "runtime/media_prompt.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace g4 {
namespace {

constexpr int32_t kPad = 0;

// Steele, Lea & Flood 2014: the finalizer of SplitMix64.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

int64_t end_of(const MediaSpan& span) { return span.begin + span.count; }

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

MediaPrompt::MediaPrompt(std::span<const int32_t> ids, std::span<const MediaSpan> spans, const TextConfig& config,
                         int64_t max_span)
    : ids_(ids.begin(), ids.end()), spans_(spans.begin(), spans.end()) {
  check(config, max_span);
  for (const MediaSpan& span : spans_)
    std::fill_n(ids_.begin() + static_cast<std::ptrdiff_t>(span.begin), span.count, kPad);
  if (config.bidirectional_media) find_blocks(max_span);
  make_units();
}

void MediaPrompt::check(const TextConfig& config, int64_t max_span) const {
  if (spans_.empty()) return;
  if (!config.takes_media) fail<ArgumentError>("media", config.architecture, ": a model of text alone");
  if (max_span == 0) fail<ArgumentError>("media", "the model was loaded for text alone (max_media_span 0)");
  int64_t free = 0;  // the first position that no span has taken
  for (size_t i = 0; i < spans_.size(); ++i) {
    const MediaSpan& span = spans_[i];
    if (span.width != config.hidden)
      fail<ArgumentError>("media", "span ", i, ": rows of the model's hidden size ", config.hidden, " expected, of ",
                          span.width, " found");
    if (span.count < 1) fail<ArgumentError>("media", "span ", i, ": at least one row expected, none found");
    if (span.begin < 0 || span.count > size() || span.begin > size() - span.count)
      fail<ArgumentError>("media", "span ", i, ": ", span.count, " rows from position ", span.begin,
                          " on, in a prompt of ", size());
    if (span.begin < free)
      fail<ArgumentError>("media", "span ", i, " begins at position ", span.begin, ", the one before ends at ", free,
                          ": ascending spans expected");
    if (span.count > max_span)
      fail<ArgumentError>("media", "span ", i, ": ", span.count, " rows, room for ", max_span, " (max_media_span)");
    if (!all_finite(span.rows)) fail<ArgumentError>("media", "span ", i, ": a value that is not finite");
    free = end_of(span);
  }
}

void MediaPrompt::find_blocks(int64_t max_span) {
  for (const MediaSpan& span : spans_) {
    if (!span.block) continue;
    if (!blocks_.empty() && blocks_.back().end == span.begin)
      blocks_.back().end = end_of(span);
    else
      blocks_.push_back({span.begin, end_of(span)});
    const Block& block = blocks_.back();
    if (block.end - block.begin > max_span)
      fail<ArgumentError>("media", "positions ", block.begin, " to ", block.end - 1, ": a block of ",
                          block.end - block.begin, " tokens without text between, room for ", max_span,
                          " (max_media_span)");
  }
}

void MediaPrompt::make_units() {
  units_.assign(ids_.begin(), ids_.end());
  // A token of a block depends on all of it: two blocks that differ anywhere have no unit in common.
  std::vector<uint64_t> block_keys(blocks_.size());
  const auto block_of = [&](const MediaSpan& span) {
    return std::find_if(blocks_.begin(), blocks_.end(),
                        [&](const Block& b) { return span.begin >= b.begin && span.begin < b.end; }) -
           blocks_.begin();
  };
  const auto in_block = [&](const MediaSpan& span) { return span.block && !blocks_.empty(); };
  for (const MediaSpan& span : spans_) {
    if (!in_block(span)) continue;
    uint64_t& key = block_keys[static_cast<size_t>(block_of(span))];
    key = mix(mix(key ^ span.content) ^ static_cast<uint64_t>(span.count));
  }
  for (const MediaSpan& span : spans_) {
    const uint64_t whole = in_block(span) ? block_keys[static_cast<size_t>(block_of(span))] : 0;
    for (int64_t i = 0; i < span.count; ++i) {
      const uint64_t unit = mix(mix(mix(span.content) ^ static_cast<uint64_t>(i)) ^ whole);
      units_[static_cast<size_t>(span.begin + i)] =
          static_cast<int64_t>(unit | uint64_t{1} << 63);  // no id is negative
    }
  }
}

const MediaPrompt::Block* MediaPrompt::cut_block(int64_t p) const {
  const auto after = std::upper_bound(blocks_.begin(), blocks_.end(), p,
                                      [](int64_t position, const Block& b) { return position < b.end; });
  return after != blocks_.end() && after->begin < p ? &*after : nullptr;
}

int64_t MediaPrompt::cut(int64_t p) const {
  const Block* block = cut_block(p);
  return block ? block->begin : p;
}

int64_t MediaPrompt::step_end(int64_t begin, int64_t wanted, int64_t most) const {
  const int64_t end = std::min(begin + wanted, size());
  const Block* block = cut_block(end);
  if (!block) return end;
  if (block->end - begin <= most) return block->end;
  G4_CHECK(block->begin > begin, begin, block->end);
  return block->begin;
}

std::optional<StepMedia> MediaPrompt::step(int64_t begin, int64_t end) const {
  const auto n = static_cast<size_t>(end - begin);
  StepMedia media;
  for (const MediaSpan& span : spans_) {
    const int64_t from = std::max(begin, span.begin), to = std::min(end, end_of(span));
    if (from >= to) continue;
    if (media.soft_index.empty()) media.soft_index.assign(n, -1);
    for (int64_t p = from; p < to; ++p) media.soft_index[static_cast<size_t>(p - begin)] = media.n_rows++;
    media.rows.push_back(span.rows.subspan(static_cast<size_t>((from - span.begin) * span.width),
                                           static_cast<size_t>((to - from) * span.width)));
  }
  if (media.rows.empty()) return {};
  for (int64_t p = begin; p < end; ++p) media.last.push_back(static_cast<int32_t>(p));
  for (const Block& block : blocks_)
    for (int64_t p = std::max(begin, block.begin); p < std::min(end, block.end); ++p)
      media.last[static_cast<size_t>(p - begin)] = static_cast<int32_t>(block.end - 1);
  return media;
}

}  // namespace g4
