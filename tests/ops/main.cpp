// test_ops: every case of every operation on one backend against the scalar reference.
//
//   test_ops [--backend cpu] [--partial] [--verbose] [--one-in N] [--isa ISA] [FILTER]
//                                 checks; FILTER selects labels that contain it, --one-in a share of them by lot, the
//                                 same one every time, another one for each instruction set
//   test_ops --support [FILE]     writes the op-support table of all devices
//
// A case must be within its bound of the reference and the same bits on 1, 2 and 3 threads. On the cpu every token has
// the same bits alone as in its batch; elsewhere it may take another kernel and is held to its bound, and a program has
// the same bits in its second and third run, which may replay what the first recorded. --partial lets a backend lack
// cases (they are counted); --verbose names each case before it runs, for one that crashes. G4CPP_CPU_ISA chooses the
// cpu's instruction set; --isa says which one must be in use.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <set>

#include "backends/registry.h"
#include "ops/op_table.h"
#include "ops/panel_layouts.h"
#include "ops/runner.h"
#include "ops/support.h"

namespace g4::test {
namespace {

struct Options {
  std::string backend = "cpu";
  std::string filter;
  std::string isa;
  int64_t one_in = 1;
  std::string support_file = "-";
  bool support = false;
  bool partial = false;
  bool verbose = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--backend" && i + 1 < argc) {
      options.backend = argv[++i];
    } else if (arg == "--isa" && i + 1 < argc) {
      options.isa = argv[++i];
    } else if (arg == "--one-in" && i + 1 < argc) {
      options.one_in = std::max<int64_t>(1, std::atoll(argv[++i]));
    } else if (arg == "--partial") {
      options.partial = true;
    } else if (arg == "--verbose") {
      options.verbose = true;
    } else if (arg == "--support") {
      options.support = true;
      if (i + 1 < argc) options.support_file = argv[++i];
    } else {
      options.filter = arg;
    }
  }
  return options;
}

std::string first_difference(const std::vector<Result>& a, const std::vector<Result>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!same_bits(a[i], b[i])) return concat("result ", i);
  return "";
}

// The part of a batch's results that belongs to one token.
std::vector<Result> token_of(const std::vector<Result>& batch, int64_t token) {
  std::vector<Result> one;
  for (const Result& result : batch) {
    const auto stride = static_cast<ptrdiff_t>(result.bytes.size()) / result.rows;
    Result part = result;
    part.rows = 1;
    part.bytes.assign(result.bytes.begin() + token * stride, result.bytes.begin() + (token + 1) * stride);
    one.push_back(std::move(part));
  }
  return one;
}

class Checker {
 public:
  explicit Checker(const std::string& backend) : reference_(create_backend("reference", {})) {
    for (const int n_threads : {1, 2, 3}) {
      BackendOptions options;
      options.n_threads = n_threads;
      options.activations = DType::BF16;  // else matrices stay in rows
      backends_.push_back(create_backend(backend, options));
    }
  }

  Backend& backend() { return *backends_[0]; }

  // Empty, or what is wrong.
  std::string check(const OpCase& c) {
    if (c.panels && has_panels(backend()) && !in_panels(c, backend())) return "its matrix lies in rows, not in panels";
    const std::vector<Result> got = run(c, backend(), {});
    Variant wide;
    wide.wide = true;
    const std::vector<Result> expected = run(c, *reference_, wide);
    for (size_t i = 0; i < got.size(); ++i) {
      const std::string wrong = difference(got[i], expected[i]);
      if (!wrong.empty()) return concat("result ", i, ": ", wrong);
    }
    const bool on_cpu = backend().name() == "cpu";
    for (size_t i = 1; i < backends_.size(); ++i) {
      const int runs = on_cpu ? 1 : static_cast<int>(i) + 1;
      const std::string wrong = first_difference(got, run(c, *backends_[i], {}, runs));
      if (!wrong.empty())
        return concat(wrong, " has other bits ", on_cpu ? "on " : "in run ", i + 1, on_cpu ? " threads" : "");
    }
    return on_cpu ? check_tokens(c, got) : check_tokens_within_bounds(c, expected);
  }

 private:
  static std::set<int64_t> some_tokens(const OpCase& c) {
    if (c.n_tokens < 2) return {};
    return {0, c.n_tokens / 2, c.n_tokens - 1};
  }

  std::string check_tokens(const OpCase& c, const std::vector<Result>& batch) {
    for (const int64_t token : some_tokens(c)) {
      const std::string wrong = first_difference(token_of(batch, token), run(c, backend(), {false, token}));
      if (!wrong.empty()) return concat(wrong, " of token ", token, " has other bits alone than in its batch");
    }
    return "";
  }

  std::string check_tokens_within_bounds(const OpCase& c, const std::vector<Result>& reference) {
    for (const int64_t token : some_tokens(c)) {
      const std::vector<Result> alone = run(c, backend(), {false, token}), expected = token_of(reference, token);
      for (size_t i = 0; i < alone.size(); ++i) {
        const std::string wrong = difference(alone[i], expected[i]);
        if (!wrong.empty()) return concat("result ", i, " of token ", token, " alone: ", wrong);
      }
    }
    return "";
  }

  std::unique_ptr<Backend> reference_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

int check_all(const Options& options) {
  Checker checker(options.backend);
  const std::string description = checker.backend().device().description;
  const std::string isa = description.substr(description.rfind(' ') + 1);
  std::printf("%s: %s\n", options.backend.c_str(), description.c_str());
  if (!options.isa.empty() && isa != options.isa) {
    std::printf("FAILED dispatch: expected %s, found %s\n", options.isa.c_str(), isa.c_str());
    return 1;
  }
  int passed = 0, failed = 0, lacking = 0;
  if (options.backend == "cpu") {
    const std::string wrong = wrong_cpu_layouts();
    if (!wrong.empty()) std::printf("FAILED layouts: %s\n", wrong.c_str());
    ++(wrong.empty() ? passed : failed);
  }
  std::set<std::string> covered;
  for (const OpCase& c : all_cases()) {
    if (c.label.find(options.filter) == std::string::npos) continue;
    covered.insert(c.op);
    if (Random(concat(isa, " ", c.label)).below(options.one_in) != 0) continue;
    if (options.verbose) std::printf("%s\n", c.label.c_str());
    std::fflush(stdout);
    std::string wrong;
    try {
      if (!supported(c, checker.backend())) {
        ++lacking;
        if (!options.partial) std::printf("NOT SUPPORTED %s\n", c.label.c_str());
        continue;
      }
      wrong = checker.check(c);
    } catch (const std::exception& e) {
      wrong = e.what();
    }
    ++(wrong.empty() ? passed : failed);
    if (!wrong.empty()) std::printf("FAILED %s\n    %s\n", c.label.c_str(), wrong.c_str());
  }
  if (options.filter.empty())
    for (const OpDef* op : all_ops())
      if (!covered.count(std::string(op->name))) {
        std::printf("FAILED %s has no cases\n", std::string(op->name).c_str());
        ++failed;
      }
  std::printf("%d passed, %d failed, %d not supported\n", passed, failed, lacking);
  return failed || passed == 0 || (lacking && !options.partial) ? 1 : 0;
}

int write_support(const Options& options) {
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<Backend*> pointers;
  for (const DeviceInfo& device : list_devices()) {
    if (!device.available) continue;
    backends.push_back(create_backend(device.name, {}));
    pointers.push_back(backends.back().get());
  }
  if (options.support_file == "-") {
    write_support_table(std::cout, all_cases(), pointers);
    return 0;
  }
  std::ofstream file(options.support_file);
  write_support_table(file, all_cases(), pointers);
  return file.flush() ? 0 : 1;
}

}  // namespace

OpCases all_cases() {
  OpCases all;
  for (const auto group : {elementwise_cases,  gelu_cases,        softcap_cases,
                           norm_cases,         clamp_cases,       group_mean_cases,
                           layer_norm_cases,   rope_cases,        matmul_cases,
                           expert_cases,       embed_cases,       panel_matmul_cases,
                           panel_expert_cases, panel_embed_cases, router_cases,
                           top_k_cases,        attention_cases,   kv_write_cases,
                           silu_cases,         convolution_cases, relative_attention_cases,
                           held_matmul_cases}) {
    OpCases cases = group();
    all.insert(all.end(), std::make_move_iterator(cases.begin()), std::make_move_iterator(cases.end()));
  }
  return all;
}

}  // namespace g4::test

int main(int argc, char** argv) {
  try {
    g4::load_installed_backends();
    g4::load_backend_library(G4CPP_REFERENCE_BACKEND);
    const auto options = g4::test::parse(argc, argv);
    return options.support ? g4::test::write_support(options) : g4::test::check_all(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
