// expert_matmul: see ops/expert_matmul.h. All of it is product.h's.
#include "backends/cuda/product.h"
#include "ops/expert_matmul.h"

namespace g4::cuda {
namespace {

int64_t workspace(const Call& call) { return product_workspace(expert_product(call), *call.limits); }
void launch(const Call& call) { launch_product(expert_product(call), call); }

}  // namespace

extern const Kernel expert_matmul_kernel;
const Kernel expert_matmul_kernel{"expert_matmul", product_supported, workspace, launch};

}  // namespace g4::cuda
