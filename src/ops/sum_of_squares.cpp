#include "ops/ops.h"

// One sweep over any number of tensors, without a temporary where square and sum would write one:
// the norm of the gradients reads every gradient of a step.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  for (const Type& type : args.in)
    args.require(is_floating(type.dtype), "operands need to be f32 or bf16");
  return {{DType::f32, {}}};
}

std::vector<Tensor> gradient(const GradArgs& g) {
  std::vector<Tensor> grads;
  for (size_t i = 0; i < g.inputs(); ++i)
    grads.push_back(g.input(i) * cast_to(2.0f * g.output_grad(0), g.input(i).dtype()));
  return grads;
}

void reference(KernelArgs& k) {
  double total = 0;
  for (size_t i = 0; i < k.in_types.size(); ++i)
    for (const float x : k.in(i)) total += static_cast<double>(x) * x;
  k.out()[0] = static_cast<float>(total);
}

}  // namespace

extern const OpDef sum_of_squares = {
    .name = "sum_of_squares",
    .formula = "y = sum of x[i]^2 over all elements of all operands",
    .infer = infer,
    .gradient = gradient,
    .flops =
        [](Types in, Types, const Attributes&) {
          double elements = 0;
          for (const Type& type : in) elements += static_cast<double>(type.elements());
          return 2.0 * elements;
        },
    .reference = reference,
    .precision = Precision::sums,
    .samples = {sample({{4, 5}}), sample({{2, 33, 17}}), sample({{}}), sample({{1}}),
                sample({{0, 4}}), sample({{7, 3}, {}, {0}, {2, 50}})},
};

}  // namespace argosy::ops
