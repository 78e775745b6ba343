#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  args.require(!args.in[0].shape.empty() && is_floating(args.in[0].dtype),
               "needs a real tensor with a last axis");
  return {args.in[0]};
}

// y = softmax(x)  =>  dx = y * (dy - sum(y * dy)), the sum over the last axis.
std::vector<Tensor> gradient(const GradArgs& g) {
  const Tensor y = g.output(0), dy = g.output_grad(0);
  return {y * (dy - reduce_sum(y * dy, {-1}, true))};
}

void reference(KernelArgs& k) {
  const auto n = static_cast<size_t>(k.shape(0).back());
  const auto x = k.in(0);
  const auto y = k.out();
  for (size_t row = 0; row < x.size(); row += n) {
    // shifted by the row's maximum, so that exp() cannot overflow
    const float top = *std::max_element(&x[row], &x[row] + n);
    double total = 0;
    for (size_t i = 0; i < n; ++i) total += y[row + i] = std::exp(x[row + i] - top);
    for (size_t i = 0; i < n; ++i) y[row + i] = static_cast<float>(y[row + i] / total);
  }
}

}  // namespace

extern const OpDef softmax = {
    .name = "softmax",
    .formula = "y[..., i] = exp(x[..., i]) / sum_j exp(x[..., j])",
    .infer = infer,
    .gradient = gradient,
    .flops = [](Types in, Types,
                const Attributes&) { return 5.0 * static_cast<double>(in[0].elements()); },
    .reference = reference,
    .in_place = {0},
    .precision = Precision::mixed,
    .samples = {sample({{2, 5}}), sample({{3, 1}}), sample({{0, 4}}), sample({{4, 7, 133}})},
};

}  // namespace argosy::ops
