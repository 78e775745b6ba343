#include <cmath>

#include "ops/ops.h"

namespace argosy::ops {
namespace {

/// The types of y and of the inverse root for x and the weight.
std::vector<Type> outputs_of(const InferArgs& args, const Type& x, const Type& weight) {
  args.require(!x.shape.empty() && x.shape.back() > 0 && is_floating(x.dtype),
               "needs a real tensor with a last axis");
  args.require(weight.shape == Shape{x.shape.back()} && is_floating(weight.dtype),
               "the weight needs the size of the last axis");
  return {x, {DType::f32, Shape(x.shape.begin(), x.shape.end() - 1)}};
}

std::vector<Type> infer(const InferArgs& args) {
  std::vector<Type> outputs = outputs_of(args, args.in[0], args.in[1]);
  outputs[0].dtype = result_dtype(args, outputs[0].dtype);
  return outputs;
}

std::vector<Tensor> gradient(const GradArgs& g) {
  return g.input(0).graph().add(rms_norm_gradient,
                                std::vector{g.output_grad(0), g.input(0), g.input(1), g.output(1)});
}

void reference(KernelArgs& k) {
  const auto n = static_cast<size_t>(k.shape(0).back());
  for (size_t row = 0; row < k.out(1).size(); ++row) {
    const float* x = &k.in(0)[row * n];
    double squares = 0;
    for (size_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
    const double inverse =
        1.0 / std::sqrt(squares / static_cast<double>(n) + k.attributes.get<double>("epsilon"));
    k.out(1)[row] = static_cast<float>(inverse);
    for (size_t i = 0; i < n; ++i)
      k.out(0)[row * n + i] = static_cast<float>(x[i] * inverse * k.in(1)[i]);
  }
}

std::vector<Type> infer_gradient(const InferArgs& args) {  // dy, x, weight, inverse -> dx, dweight
  const std::vector<Type> outputs = outputs_of(args, args.in[1], args.in[2]);
  args.require(args.in[0].shape == args.in[1].shape && is_floating(args.in[0].dtype) &&
                   args.in[3] == outputs[1],
               "needs dy, x, weight and the inverse root");
  return {{result_dtype(args, args.in[1].dtype), args.in[1].shape}, args.in[2]};
}

// With h = x inverse and e = dy weight: dx = inverse (e - h mean(e h)), dweight = sum dy h.
void gradient_reference(KernelArgs& k) {
  const auto n = static_cast<size_t>(k.shape(0).back());
  const auto dy = k.in(0), x = k.in(1), weight = k.in(2), inverses = k.in(3);
  std::vector<double> dweight(n);
  for (size_t row = 0; row < inverses.size(); ++row) {
    const auto h = [&](size_t i) { return static_cast<double>(x[row * n + i]) * inverses[row]; };
    double mean = 0;
    for (size_t i = 0; i < n; ++i) {
      const double d = dy[row * n + i];
      mean += d * weight[i] * h(i) / static_cast<double>(n);
      dweight[i] += d * h(i);
    }
    for (size_t i = 0; i < n; ++i)
      k.out(0)[row * n + i] = static_cast<float>(
          inverses[row] * (static_cast<double>(dy[row * n + i]) * weight[i] - h(i) * mean));
  }
  for (size_t i = 0; i < n; ++i) k.out(1)[i] = static_cast<float>(dweight[i]);
}

Sample with_epsilon(std::vector<Shape> shapes) {
  return sample(std::move(shapes), {{"epsilon", 1e-6}});
}

double flops(Types in, Types, const Attributes&) {
  return 5.0 * static_cast<double>(in[0].elements());
}

}  // namespace

extern const OpDef rms_norm = {
    .name = "rms_norm",
    .formula = "y = x / sqrt(mean(x^2) + epsilon) * weight, over the last axis; also the factor",
    .infer = infer,
    .gradient = gradient,
    .flops = flops,
    .reference = reference,
    .kept_for_gradient = 1,
    .precision = Precision::mixed,
    .samples = {with_epsilon({{4, 8}, {8}}), with_epsilon({{2, 3, 33}, {33}}),
                with_epsilon({{1, 5}, {5}}), with_epsilon({{0, 4}, {4}})},
};

extern const OpDef rms_norm_gradient = {
    .name = "rms_norm_gradient",
    .formula = "gradients of rms_norm for x and the weight",
    .infer = infer_gradient,
    .flops = flops,
    .reference = gradient_reference,
    .in_place = {0},
    .precision = Precision::mixed,
    .samples = {sample({{4, 8}, {4, 8}, {8}, {4}}), sample({{2, 3, 33}, {2, 3, 33}, {33}, {2, 3}})},
};

}  // namespace argosy::ops
