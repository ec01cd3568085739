#include "backends/cpu/read_probe.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace g4 {
namespace {

constexpr size_t kBytes = size_t{1} << 30;
constexpr size_t kPiece = size_t{1} << 20;

typedef uint64_t Lane __attribute__((vector_size(64)));

// The loader chooses among clones before a sanitizer's run time is ready for instrumented code.
#if defined(__x86_64__) && !defined(G4CPP_SANITIZED)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t
read_piece(const std::byte* p) {
  Lane sum[4] = {};
  for (size_t i = 0; i < kPiece; i += 256)
    for (size_t j = 0; j < 4; ++j) {
      Lane v;
      std::memcpy(&v, p + i + j * 64, sizeof v);
      __builtin_prefetch(p + i + j * 64 + 8192);
      sum[j] |= v;
    }
  const Lane all = sum[0] | sum[1] | sum[2] | sum[3];
  uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) bits |= all[i];
  return bits;
}

}  // namespace

ReadProbe::ReadProbe() : memory_(std::min(kBytes, system_memory().available / 4 / kPiece * kPiece + kPiece)) {
  memory_.use_large_pages();
  std::memset(memory_.data(), 0, memory_.size());
}

double ReadProbe::run(ThreadPool& pool) {
  const auto began = std::chrono::steady_clock::now();
  std::atomic<uint64_t> bits{0};
  pool.run(static_cast<int64_t>(memory_.size() / kPiece),
           [&](int64_t piece, int) { bits |= read_piece(memory_.data() + static_cast<size_t>(piece) * kPiece); });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  return bits == 0 ? static_cast<double>(memory_.size()) / seconds.count() : 0;
}

}  // namespace g4
