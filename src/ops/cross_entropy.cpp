#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace argosy::ops {
namespace {

std::vector<Type> infer(
    const InferArgs& args) {  // logits [N, V], labels [N] -> loss [N], log-sum-exp [N]
  args.require(args.in[0].shape.size() == 2 && args.in[0].shape[1] > 0 &&
                   is_floating(args.in[0].dtype) && args.in[1].dtype == DType::i32 &&
                   args.in[1].shape == Shape{args.in[0].shape[0]},
               "needs logits [N, V] and i32 labels [N]");
  const Type rows = {DType::f32, {args.in[0].shape[0]}};
  return {rows, rows};
}

std::vector<Tensor> gradient(const GradArgs& g) {
  const Tensor x = g.input(0), all = g.output(1);
  Tensor dx = apply(cross_entropy_gradient, {x, g.input(1), all, g.output_grad(0)});
  if (const Tensor dall = g.output_grad(1)) {  // d log-sum-exp / dx = softmax
    const Shape column = {x.size(0), 1};
    const Tensor p = apply(exp, {cast_to(x, DType::f32) - reshape_to(all, column)});
    dx = dx + cast_to(p * reshape_to(dall, column), x.dtype());
  }
  return {dx, Tensor()};
}

void reference(KernelArgs& k) {
  const auto v = static_cast<size_t>(k.shape(0)[1]);
  const auto logits = k.in(0);
  for (size_t row = 0; row < k.out(0).size(); ++row) {
    const float* x = &logits[row * v];
    const float top = *std::max_element(x, x + v);
    double total = 0;
    for (size_t i = 0; i < v; ++i) total += std::exp(static_cast<double>(x[i]) - top);
    const double all = top + std::log(total);
    const int32_t label = k.in<int32_t>(1)[row];
    check(label < static_cast<int32_t>(v), "label {} with {} classes", label, v);
    k.out(0)[row] = label < 0 ? 0.0f : static_cast<float>(all - x[label]);
    k.out(1)[row] = static_cast<float>(all);
  }
}

std::vector<Type> infer_gradient(const InferArgs& args) {
  const std::vector<Type> rows = infer(args);
  args.require(args.in[2] == rows[1] && args.in[3] == rows[0],
               "needs logits [N, V], i32 labels [N], log-sum-exp [N] and dloss [N]");
  return {{result_dtype(args, args.in[0].dtype), args.in[0].shape}};
}

void gradient_reference(KernelArgs& k) {
  const auto v = static_cast<size_t>(k.shape(0)[1]);
  for (size_t row = 0; row < k.in(2).size(); ++row) {
    const int32_t label = k.in<int32_t>(1)[row];
    for (size_t i = 0; i < v; ++i) {
      const float p = std::exp(k.in(0)[row * v + i] - k.in(2)[row]);
      k.out()[row * v + i] =
          label < 0 ? 0.0f : k.in(3)[row] * (p - (static_cast<size_t>(label) == i ? 1.0f : 0.0f));
    }
  }
}

Sample labelled(int64_t n, int64_t v) {
  return {.inputs = {{DType::f32, {n, v}}, {DType::i32, {n}}}, .index_limit = v};
}

double flops(Types in, Types, const Attributes&) {
  return 4.0 * static_cast<double>(in[0].elements());
}

}  // namespace

extern const OpDef cross_entropy = {
    .name = "cross_entropy",
    .formula =
        "loss[n] = ln sum_v exp(x[n, v]) - x[n, label[n]], 0 where the label is negative; also the "
        "first term",
    .infer = infer,
    .gradient = gradient,
    .flops = flops,
    .reference = reference,
    .precision = Precision::sums,
    .samples = {labelled(3, 5), labelled(1, 1), labelled(7, 133)},
};

extern const OpDef cross_entropy_gradient = {
    .name = "cross_entropy_gradient",
    .formula = "dx[n, v] = dloss[n] (exp(x[n, v] - lse[n]) - [v = label[n]])",
    .infer = infer_gradient,
    .flops = flops,
    .reference = gradient_reference,
    .in_place = {0},
    .precision = Precision::mixed,
    .samples =
        {{.inputs = {{DType::f32, {3, 5}}, {DType::i32, {3}}, {DType::f32, {3}}, {DType::f32, {3}}},
          .index_limit = 5}},
};

}  // namespace argosy::ops
