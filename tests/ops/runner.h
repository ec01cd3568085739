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

std::vector<Result> run(const OpCase& c, Backend& backend, const Variant& variant);

// Empty when `got` lies within its bound of the reference's result, else what is wrong. Float outputs of the reference
// are float32.
std::string difference(const Result& got, const Result& reference);

}  // namespace g4::test
