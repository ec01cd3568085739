#include "runtime/media_encoder.h"

#include <algorithm>

#include "backends/registry.h"

namespace g4 {
namespace {

std::unique_ptr<Backend> open_device(const MediaOptions& options, const Numerics& numerics) {
  if (options.n_threads < 0)
    fail<ArgumentError>("media", "n_threads must be positive, or 0 for the physical cores; got ", options.n_threads);
  return create_backend(options.device, {options.n_threads, numerics.act, true});
}

int64_t float_bytes(int64_t count) { return count * static_cast<int64_t>(sizeof(float)); }

}  // namespace

MediaEncoder::MediaEncoder(std::shared_ptr<const GgufFile> file, const MediaOptions& options)
    : numerics_(numerics_of(parse_compute_mode(options.compute))), config_(gemma4::read_projector(*file)) {
  backend_ = open_device(options, numerics_);
  const ImportWeights import = [this](const HostWeights& weights) { return backend_->import(weights); };
  if (config_.vision) vision_ = gemma4::load_vision(file, import, numerics_, config_);
  if (config_.audio) audio_ = gemma4::load_audio(file, import, numerics_, config_);
}

SoftTokens MediaEncoder::encode_image(std::span<const float> patches, const MediaShape& grid, const Poll& poll) {
  if (!vision_) fail<ArgumentError>("media", "the projector file has no vision tower");
  return encode(*vision_, grid, patches, poll);
}

SoftTokens MediaEncoder::encode_audio(std::span<const float> features, int64_t frames, const Poll& poll) {
  if (!audio_) fail<ArgumentError>("media", "the projector file has no audio tower");
  return encode(*audio_, {frames, 1}, features, poll);
}

SoftTokens MediaEncoder::encode(const Tower& tower, const MediaShape& shape, std::span<const float> features,
                                const Poll& poll) {
  tower.check(shape);
  const auto given = static_cast<int64_t>(features.size()), expected = shape.count() * tower.n_features();
  if (given != expected)
    fail<ArgumentError>("media", shape.cols, " x ", shape.rows, " of ", tower.n_features(), " values, ", expected,
                        " in all, expected, ", given, " given");
  const std::lock_guard<std::mutex> lock(turn_);
  const std::vector<int32_t> indices = tower.indices(shape);
  reserve(features_, float_bytes(expected));
  reserve(indices_, static_cast<int64_t>(indices.size() * sizeof(int32_t)));
  Program& program = program_for(tower, shape, static_cast<int64_t>(indices.size()));
  // The last run has ended: its tokens were read.
  if (auto* host = reinterpret_cast<float*>(features_->host())) {
    tower.arrange(shape, features, {host, features.size()});
  } else {
    arranged_.resize(features.size());
    tower.arrange(shape, features, arranged_);
    features_->write(0, arranged_.data(), float_bytes(expected));
  }
  indices_->write(0, indices.data(), static_cast<int64_t>(indices.size() * sizeof(int32_t)));
  program.run(poll);
  const Tensor rows = program.output("soft_tokens");
  SoftTokens tokens{rows.shape, std::vector<float>(static_cast<size_t>(rows.shape.elements()))};
  rows.buffer->read(rows.offset, tokens.values.data(), float_bytes(rows.shape.elements()));
  return tokens;
}

std::vector<MediaEncoder::NodeTime> MediaEncoder::node_times() {
  const std::lock_guard<std::mutex> lock(turn_);
  std::vector<NodeTime> times;
  if (programs_.empty()) return times;
  const Program& program = *programs_.front().program;
  const std::vector<double> milliseconds = program.node_milliseconds();
  for (size_t i = 0; i < milliseconds.size(); ++i) {
    const Node& node = program.graph().nodes()[i];
    times.push_back(
        {std::string(node.op->name), program.graph().value(node.outputs[0]).tensor.shape.str(), milliseconds[i]});
  }
  return times;
}

void MediaEncoder::reserve(std::unique_ptr<Buffer>& buffer, int64_t bytes) {
  if (buffer && buffer->size() >= bytes) return;
  programs_.clear();
  buffer.reset();
  buffer = &buffer == &features_ ? backend_->allocate_input(bytes) : backend_->allocate(bytes);
}

Program& MediaEncoder::program_for(const Tower& tower, const MediaShape& shape, int64_t n_indices) {
  const auto known = std::find_if(programs_.begin(), programs_.end(),
                                  [&](const Compiled& c) { return c.tower == &tower && c.shape == shape; });
  if (known != programs_.end()) {
    programs_.splice(programs_.begin(), programs_, known);
    return *programs_.front().program;
  }
  Graph graph;
  tower.build(graph, shape,
              {Tensor(DType::F32, {shape.count(), tower.n_features()}, features_.get(), 0),
               Tensor(DType::I32, {n_indices}, indices_.get(), 0)});
  auto program = std::make_unique<Program>(graph, *backend_);
  reserve(arena_, program->arena_bytes());
  program->bind(*arena_);
  if (programs_.size() == kMaxPrograms) programs_.pop_back();
  programs_.push_front({&tower, shape, std::move(program)});
  return *programs_.front().program;
}

}  // namespace g4
