// The row decoders of one instruction set, for test_quant_isa.cpp: compiled with its -m flags and namespace.
#include "tensor/quant/decode.h"

namespace g4::G4_ISA_NAMESPACE {

RowDecoder row_decoder_for_test(DType dtype) { return row_decoder(dtype); }

}  // namespace g4::G4_ISA_NAMESPACE
