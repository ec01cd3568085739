// exp(x) for x <= 0 with the same bits on every machine, within about 1 ulp: the C library's differs between versions,
// and a draw must not. exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2) / 2, exp(r) by its Taylor series.
// Below -708 (and for -inf) it stays at exp(-708) = 3e-308, the last before the subnormal numbers.
// Source: Cody and Waite, "Software Manual for the Elementary Functions" (1980), chapter 6.
#pragma once

#include <bit>
#include <cstdint>

namespace g4 {

// Value is double and Bits uint64_t, or vectors of as many of them.
template <class Value, class Bits>
inline Value exp_nonpositive(Value x) {
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42fee00000p-1;  // 32 bits: n * kLn2High is exact for |n| < 2^21
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  // Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits of the sum.
  constexpr double kRound = 0x1.8p52;
  const Value smallest = Value{} - 708.0;
  const Value clamped = x > smallest ? x : smallest;
  const Value shifted = clamped * kLog2E + kRound;
  const Value n = shifted - kRound;
  const Value r = (clamped - n * kLn2High) - n * kLn2Low;
  // r^14 / 14! < 2^-57: the terms up to r^13 suffice.
  Value p = Value{} + 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return std::bit_cast<Value>(std::bit_cast<Bits>(p) + (std::bit_cast<Bits>(shifted) << 52));
}

}  // namespace g4
