#include "backends/cpu/isa.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/mapped_file.h"
#include "base/processor.h"
#include "base/thread_pool.h"

namespace g4 {

// Defined by the list that CMake generates for each instruction set.
#define G4_DECLARE_SET(isa)             \
  namespace isa {                       \
  extern const CpuKernelSet kernel_set; \
  }
#if defined(__aarch64__)
G4_DECLARE_SET(neon)
G4_DECLARE_SET(dotprod)
G4_DECLARE_SET(i8mm)
#else
G4_DECLARE_SET(baseline)
#endif
#if defined(__x86_64__)
G4_DECLARE_SET(avx2)
G4_DECLARE_SET(avxvnni)
G4_DECLARE_SET(avx512)
G4_DECLARE_SET(avx512bf16)
G4_DECLARE_SET(amx)
#endif
#undef G4_DECLARE_SET

namespace {

struct Candidate {
  const CpuKernelSet* set;
  bool runs;
};

// Best first.
std::vector<Candidate> candidates() {
  std::vector<Candidate> all;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  all.push_back({&amx::kernel_set, bf16 && amx_granted()});
  all.push_back({&avx512bf16::kernel_set, bf16});
  all.push_back({&avx512::kernel_set, avx512});
  all.push_back({&avxvnni::kernel_set, avx2 && has_avx_vnni()});
  all.push_back({&avx2::kernel_set, avx2});
#endif
#if defined(__aarch64__)
  const ArmFeatures arm = arm_features();
  all.push_back({&i8mm::kernel_set, arm.dotprod && arm.i8mm && arm.bf16});
  all.push_back({&dotprod::kernel_set, arm.dotprod});
  all.push_back({&neon::kernel_set, true});
#else
  all.push_back({&baseline::kernel_set, true});
#endif
  return all;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "processor";
}

}  // namespace

CpuKernelSet select_kernel_set() {
  const char* forced = std::getenv("G4CPP_CPU_ISA");
  const std::string wanted = forced ? forced : "";
  std::string known;
  for (const Candidate& c : candidates()) {
    known += concat(known.empty() ? "" : ", ", c.set->isa);
    if (wanted.empty() ? c.runs : wanted == c.set->isa) {
      if (!c.runs) fail<DeviceError>("cpu", "G4CPP_CPU_ISA=", wanted, ": this processor does not run it");
      return *c.set;
    }
  }
  fail<DeviceError>("cpu", "G4CPP_CPU_ISA=", wanted, " is unknown; there are ", known);
}

DeviceInfo probe_cpu() {
  DeviceInfo device;
  device.name = "cpu";
  device.description = concat(cpu_model(), ", ", default_thread_count(), " cores, ", select_kernel_set().isa);
  const SystemMemory memory = system_memory();
  device.memory_total = static_cast<int64_t>(memory.total);
  device.memory_available = static_cast<int64_t>(memory.available);
  return device;
}

}  // namespace g4
