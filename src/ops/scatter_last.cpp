#include <algorithm>

#include "ops/ops.h"

// The gradient of what chooses elements of a row: top_k and sort.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  const Shape& shape = args.in[0].shape;
  args.require(!shape.empty() && is_floating(args.in[0].dtype) && args.in[1].dtype == DType::i32 &&
                   args.in[1].shape == shape,
               "needs real values and an i32 index for each");
  args.require(args.attributes.get<int64_t>("size") >= 0, "size is negative");
  Type y = args.in[0];
  y.shape.back() = args.attributes.get<int64_t>("size");
  return {y};
}

void reference(KernelArgs& k) {
  const auto n = static_cast<size_t>(k.out_shape().back()),
             width = static_cast<size_t>(k.shape(0).back());
  const auto indices = k.in<int32_t>(1);
  std::fill(k.out().begin(), k.out().end(), 0.0f);
  for (size_t i = 0; i < indices.size(); ++i) {
    check(indices[i] >= 0 && static_cast<size_t>(indices[i]) < n, "index {} is outside [0, {})",
          indices[i], n);
    k.out()[i / width * n + static_cast<size_t>(indices[i])] += k.in(0)[i];
  }
}

Sample placed(Shape shape, int64_t size) {
  return {.inputs = {{DType::f32, shape}, {DType::i32, shape}},
          .attributes = {{"size", size}},
          .index_limit = size};
}

}  // namespace

extern const OpDef scatter_last = {
    .name = "scatter_last",
    .formula = "y[..., j] = sum of values[..., i] over the i with indices[..., i] = j",
    .infer = infer,
    .flops = [](Types in, Types,
                const Attributes&) { return static_cast<double>(in[0].elements()); },
    .reference = reference,
    .samples = {placed({3, 2}, 50), placed({2, 3, 6}, 45), placed({4}, 1), placed({3, 0}, 41)},
};

}  // namespace argosy::ops
