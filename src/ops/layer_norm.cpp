#include <cmath>

#include "ops/ops.h"

namespace argosy::ops {
namespace {

double epsilon(const Attributes& attributes) { return attributes.get<double>("epsilon"); }

/// The types of y, mean and inverse deviation for x and the one or two parameters.
std::vector<Type> outputs_of(const InferArgs& args, const Type& x, Types parameters) {
  args.require(!x.shape.empty() && x.shape.back() > 0 && is_floating(x.dtype),
               "needs a real tensor with a last axis");
  for (const Type& parameter : parameters)
    args.require(parameter == parameters[0] && parameter.shape == Shape{x.shape.back()} &&
                     is_floating(parameter.dtype),
                 "scale and shift need one real dtype and the size of the last axis");
  const Type rows = {DType::f32, Shape(x.shape.begin(), x.shape.end() - 1)};
  return {x, rows, rows};
}

std::vector<Type> infer(const InferArgs& args) {  // x, scale, shift -> y, mean, inverse deviation
  std::vector<Type> outputs = outputs_of(args, args.in[0], args.in.subspan(1));
  outputs[0].dtype = result_dtype(args, outputs[0].dtype);
  return outputs;
}

std::vector<Tensor> gradient(const GradArgs& g) {
  return g.input(0).graph().add(
      layer_norm_gradient,
      std::vector{g.output_grad(0), g.input(0), g.input(1), g.output(1), g.output(2)});
}

void reference(KernelArgs& k) {
  const auto n = static_cast<size_t>(k.shape(0).back());
  const auto x = k.in(0), scale = k.in(1), shift = k.in(2);
  const auto y = k.out(0), means = k.out(1), inverses = k.out(2);
  for (size_t row = 0; row < means.size(); ++row) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; ++i) mean += x[row * n + i];
    mean /= static_cast<double>(n);
    for (size_t i = 0; i < n; ++i) variance += (x[row * n + i] - mean) * (x[row * n + i] - mean);
    const double inverse =
        1.0 / std::sqrt(variance / static_cast<double>(n) + epsilon(k.attributes));
    means[row] = static_cast<float>(mean);
    inverses[row] = static_cast<float>(inverse);
    for (size_t i = 0; i < n; ++i)
      y[row * n + i] = static_cast<float>((x[row * n + i] - mean) * inverse * scale[i] + shift[i]);
  }
}

std::vector<Type> infer_gradient(
    const InferArgs& args) {  // dy, x, scale, mean, inverse -> dx, dscale, dshift
  const std::vector<Type> outputs = outputs_of(args, args.in[1], args.in.subspan(2, 1));
  args.require(args.in[0].shape == args.in[1].shape && is_floating(args.in[0].dtype) &&
                   args.in[3] == outputs[1] && args.in[4] == outputs[2],
               "needs dy, x, scale, mean and inverse deviation");
  return {{result_dtype(args, args.in[1].dtype), args.in[1].shape}, args.in[2], args.in[2]};
}

// With h = (x - mean) inverse and e = dy scale:
// dx = inverse (e - mean(e) - h mean(e h)), dscale = sum dy h, dshift = sum dy.
void gradient_reference(KernelArgs& k) {
  const auto n = static_cast<size_t>(k.shape(0).back());
  const auto dy = k.in(0), x = k.in(1), scale = k.in(2), means = k.in(3), inverses = k.in(4);
  std::vector<double> dscale(n), dshift(n);
  for (size_t row = 0; row < means.size(); ++row) {
    const auto h = [&](size_t i) {
      return (static_cast<double>(x[row * n + i]) - means[row]) * inverses[row];
    };
    double mean_e = 0, mean_eh = 0;
    for (size_t i = 0; i < n; ++i) {
      const double d = dy[row * n + i], e = d * scale[i];
      mean_e += e / static_cast<double>(n);
      mean_eh += e * h(i) / static_cast<double>(n);
      dscale[i] += d * h(i);
      dshift[i] += d;
    }
    for (size_t i = 0; i < n; ++i)
      k.out(0)[row * n + i] =
          static_cast<float>(inverses[row] * (static_cast<double>(dy[row * n + i]) * scale[i] -
                                              mean_e - h(i) * mean_eh));
  }
  for (size_t i = 0; i < n; ++i) {
    k.out(1)[i] = static_cast<float>(dscale[i]);
    k.out(2)[i] = static_cast<float>(dshift[i]);
  }
}

Sample with_epsilon(std::vector<Shape> shapes) {
  return sample(std::move(shapes), {{"epsilon", 1e-5}});
}

double flops(Types in, Types, const Attributes&) {
  return 8.0 * static_cast<double>(in[0].elements());
}

}  // namespace

extern const OpDef layer_norm = {
    .name = "layer_norm",
    .formula =
        "y = (x - mean) / sqrt(variance + epsilon) * scale + shift, over the last axis; also mean "
        "and "
        "1 / sqrt(variance + epsilon)",
    .infer = infer,
    .gradient = gradient,
    .flops = flops,
    .reference = reference,
    .kept_for_gradient = 2,
    .precision = Precision::mixed,
    .samples = {with_epsilon({{4, 8}, {8}, {8}}), with_epsilon({{2, 3, 33}, {33}, {33}}),
                with_epsilon({{1, 5}, {5}, {5}}), with_epsilon({{0, 4}, {4}, {4}})},
};

extern const OpDef layer_norm_gradient = {
    .name = "layer_norm_gradient",
    .formula = "gradients of layer_norm for x, scale and shift",
    .infer = infer_gradient,
    .flops = flops,
    .reference = gradient_reference,
    .in_place = {0},
    .precision = Precision::mixed,
    .samples = {sample({{4, 8}, {4, 8}, {8}, {4}, {4}}),
                sample({{2, 3, 33}, {2, 3, 33}, {33}, {2, 3}, {2, 3}})},
};

}  // namespace argosy::ops
