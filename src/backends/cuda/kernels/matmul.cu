// matmul: see ops/matmul.h. All of it is product.h's.
#include "backends/cuda/product.h"
#include "ops/matmul.h"

namespace g4::cuda {
namespace {

// Bounds are clamps before and after.
bool supports(const Call& call) {
  const auto* p = static_cast<const MatmulParams*>(call.params);
  return product_supported(call) && (!p || (p->input == Bounds{} && p->output == Bounds{}));
}
int64_t workspace(const Call& call) { return product_workspace(matmul_product(call), *call.limits); }
void launch(const Call& call) { launch_product(matmul_product(call), call); }

}  // namespace

extern const Kernel matmul_kernel;
const Kernel matmul_kernel{"matmul", supports, workspace, launch};

}  // namespace g4::cuda
