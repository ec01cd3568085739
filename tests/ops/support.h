// The op-support table: which backend takes which operation in which format.
#pragma once

#include <ostream>

#include "ops/op_case.h"

namespace g4::test {

void write_support_table(std::ostream& out, const OpCases& cases, const std::vector<Backend*>& backends);

}  // namespace g4::test
