#include "ops/ops.h"

namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  args.require(!args.in[0].shape.empty() && is_floating(args.in[0].dtype),
               "needs a real tensor with a last axis");
  return {args.in[0]};
}

// dx[i] = sum of dy[j] over j >= i: the same sum from the other end
std::vector<Tensor> gradient(const GradArgs& g) {
  return {apply(cumulative_sum, {g.output_grad(0)},
                {{"reverse", !g.attributes().get<bool>("reverse")}})};
}

void reference(KernelArgs& k) {
  const auto n = static_cast<size_t>(k.shape(0).back());
  const bool reverse = k.attributes.get<bool>("reverse");
  for (size_t row = 0; row < k.in(0).size(); row += n) {
    double total = 0;
    for (size_t i = 0; i < n; ++i) {
      const size_t at = row + (reverse ? n - 1 - i : i);
      k.out()[at] = static_cast<float>(total += k.in(0)[at]);
    }
  }
}

}  // namespace

extern const OpDef cumulative_sum = {
    .name = "cumulative_sum",
    .formula = "y[..., i] = sum of x[..., j] over j <= i, or over j >= i if reverse",
    .infer = infer,
    .gradient = gradient,
    .flops = [](Types in, Types,
                const Attributes&) { return static_cast<double>(in[0].elements()); },
    .reference = reference,
    .in_place = {0},
    .samples = {sample({{3, 7}}, {{"reverse", false}}),
                sample({{2, 3, 33}}, {{"reverse", true}}),
                sample({{0, 2}}, {{"reverse", false}}),
                sample({{1}}, {{"reverse", true}}),
                // too long for finite differences
                {.inputs = {{DType::f32, {2, 40000}}},
                 .attributes = {{"reverse", false}},
                 .differentiate = {false}},
                {.inputs = {{DType::f32, {17001}}},
                 .attributes = {{"reverse", true}},
                 .differentiate = {false}}},
};

}  // namespace argosy::ops
