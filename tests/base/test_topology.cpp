// Processors and memory nodes, read from folders like those the kernel shows.
#include <filesystem>
#include <fstream>

#include "base/mapped_file.h"
#include "base/topology.h"
#include "check.h"
#include "gguf/temp_dir.h"

namespace g4 {
namespace {

using Numbers = std::vector<int>;

class Machine {
 public:
  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = dir_.file(name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void processor(int cpu, int package, int core) {
    const std::string folder = "root/cpu/cpu" + std::to_string(cpu) + "/topology/";
    write(folder + "physical_package_id", std::to_string(package) + "\n");
    write(folder + "core_id", std::to_string(core) + "\n");
  }
  Topology read() const { return read_topology(dir_.file("root"), dir_.file("status")); }

 private:
  test::TempDir dir_;
};

}  // namespace

TEST(lists) {
  CHECK(parse_cpu_list("0-3,8,10-11\n") == (Numbers{0, 1, 2, 3, 8, 10, 11}));
  CHECK(parse_cpu_list("\t5\n") == Numbers{5});
  CHECK(parse_cpu_list("") == Numbers{});
  CHECK(parse_cpu_list("many") == Numbers{});
  CHECK(parse_cpu_list("-1") == Numbers{});
  CHECK(parse_cpu_list("0-4000000000") == Numbers{});
  CHECK(parse_cpu_list("1,x") == Numbers{1});
}

TEST(hardware_threads_of_a_core_count_once) {
  Machine machine;
  for (int cpu = 0; cpu < 8; ++cpu) machine.processor(cpu, cpu % 4 / 2, cpu % 2);  // 2 packages of 2 cores of 2 threads
  machine.write("root/node/has_memory", "0-1\n");
  machine.write("status", "Name:\tx\nCpus_allowed_list:\t1-7\nMems_allowed_list:\t0-3\n");
  const Topology found = machine.read();
  CHECK(found.processors == (Numbers{1, 2, 3, 4, 5, 6, 7}));
  CHECK(found.cores == (Numbers{1, 2, 3, 4}));
  CHECK(found.nodes == (Numbers{0, 1}));
}

TEST(a_system_that_says_nothing_has_its_hardware_threads) {
  const Topology found = read_topology("/nowhere", "/nowhere/status");
  CHECK(!found.processors.empty());
  CHECK(found.cores == found.processors);
  CHECK(found.nodes.empty());
}

TEST(memory_stays_usable_when_spread_over_nodes) {
  const Numbers nodes = read_topology().nodes;
  const LazyMemory memory(size_t{1} << 20);
  const std::span<std::byte> bytes(memory.data(), memory.size());
  CHECK(!interleave(bytes, Numbers{}));
  if (!nodes.empty()) interleave(bytes, nodes);  // containers may refuse it
  for (std::byte& b : bytes) b = std::byte{1};
  CHECK(bytes.back() == std::byte{1});
}

}  // namespace g4

G4_TEST_MAIN
