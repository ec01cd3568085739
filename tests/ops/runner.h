// Runs a case on a backend and compares results.
#pragma once

#include "ops/op_case.h"

namespace g4::test {

struct Result {
  DType dtype = DType::F32;
  int64_t rows = 1;  // of dimension 0; 1 for a cache
  std::vector<std::byte> bytes;
  Bound bound;
};

// Whether the backend takes every node of the case's graph as it is.
bool supported(const OpCase& c, Backend& backend);

// Whether the case reads a matrix in panels on this backend.
bool in_panels(const OpCase& c, Backend& backend);

// What the last of `runs` runs of one program leaves.
std::vector<Result> run(const OpCase& c, Backend& backend, const Variant& variant, int runs = 1);

// Equal bits, a NaN being equal to any other: its sign depends on the order of a product's operands.
bool same_bits(const Result& a, const Result& b);

// Empty when `got` lies within its bound of the reference's result, else what is wrong. Float outputs of the reference
// are float32.
std::string difference(const Result& got, const Result& reference);

}  // namespace g4::test
