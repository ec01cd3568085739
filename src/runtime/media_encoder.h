// MediaEncoder: a loaded projector file. Turns images and sound into soft tokens; a program is compiled once for each
// shape of a medium, and the last ones are kept. Calls take turns.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backends/program.h"
#include "model/gemma4/projector.h"

namespace g4 {

struct MediaOptions {
  std::string device = "auto";  // a GPU where there is one
  std::string compute = "auto";
  int n_threads = 0;  // 0: the physical cores
};

struct SoftTokens {
  Shape shape;  // [tokens, hidden]
  std::vector<float> values;
};

class MediaEncoder {
 public:
  // Throws ModelError, DeviceError, ArgumentError, MemoryError.
  MediaEncoder(std::shared_ptr<const GgufFile> file, const MediaOptions& options);

  const gemma4::ProjectorConfig& config() const { return config_; }
  std::string device() const { return backend_->name(); }
  const char* compute() const { return name(numerics_.mode); }
  int n_threads() const { return backend_->n_threads(); }

  // patches [rows * cols, 3 * p * p]: row after row of the grid, channels innermost in a patch, values from 0 to 1.
  // Throws ArgumentError: no vision tower, a shape that it does not take.
  SoftTokens encode_image(std::span<const float> patches, const MediaShape& grid, const Poll& poll = {});
  // features [frames, n]: log-mel bins, or samples where the model has no audio tower; the clip's own, no padding.
  // Throws ArgumentError: no audio in the file, no frames.
  SoftTokens encode_audio(std::span<const float> features, int64_t frames, const Poll& poll = {});

  struct NodeTime {
    std::string op, shape;  // of the result
    double milliseconds;    // 0: done together with the node before
  };
  // Of the last medium encoded, once more, one after the other; empty on devices without a clock of their own.
  std::vector<NodeTime> node_times();

 private:
  struct Compiled {
    const Tower* tower;
    MediaShape shape;
    std::unique_ptr<Program> program;
  };
  SoftTokens encode(const Tower& tower, const MediaShape& shape, std::span<const float> features, const Poll& poll);
  Program& program_for(const Tower& tower, const MediaShape& shape, int64_t n_indices);
  // At least so large; what was compiled over a smaller one goes.
  void reserve(std::unique_ptr<Buffer>& buffer, int64_t bytes);

  // Images of one budget have a few dozen shapes, of which a conversation or a video meets one or two.
  static constexpr size_t kMaxPrograms = 8;

  std::unique_ptr<Backend> backend_;
  Numerics numerics_;
  gemma4::ProjectorConfig config_;
  std::unique_ptr<Tower> vision_, audio_;
  std::mutex turn_;
  std::unique_ptr<Buffer> features_, indices_, arena_;
  std::vector<float> arranged_;   // where features_ has no address on the host
  std::list<Compiled> programs_;  // most recently used first
};

}  // namespace g4
