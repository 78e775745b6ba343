#include "ops/ops.h"

// One sweep without a temporary where square and sum would write one: the norm of the gradients
// reads every gradient of a step.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  args.require(is_floating(args.in[0].dtype), "the operand needs to be f32 or bf16");
  return {{DType::f32, {}}};
}

std::vector<Tensor> gradient(const GradArgs& g) {
  const Tensor x = g.input(0);
  return {x * cast_to(2.0f * g.output_grad(0), x.dtype())};
}

void reference(KernelArgs& k) {
  double total = 0;
  for (const float x : k.in(0)) total += static_cast<double>(x) * x;
  k.out()[0] = static_cast<float>(total);
}

}  // namespace

extern const OpDef sum_of_squares = {
    .name = "sum_of_squares",
    .formula = "y = sum of x[i]^2 over all elements",
    .infer = infer,
    .gradient = gradient,
    .flops = [](Types in, Types,
                const Attributes&) { return 2.0 * static_cast<double>(in[0].elements()); },
    .reference = reference,
    .precision = Precision::sums,
    .samples = {sample({{4, 5}}), sample({{2, 33, 17}}), sample({{}}), sample({{1}}),
                sample({{0, 4}})},
};

}  // namespace argosy::ops
