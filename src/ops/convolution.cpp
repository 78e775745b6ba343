#include "ops/convolution.h"

#include <algorithm>

#include "ops/ops.h"

// A convolution and its two gradients, which are linear maps of their own.
namespace argosy::ops {
namespace {

// larger ones have no use, and sizes computed from them could overflow
constexpr int64_t kLargestStep = 1 << 15;

/// The type of the convolution of `x` with `weight`; says what does not fit.
Type convolved(const InferArgs& args, const Type& x, const Type& weight) {
  args.require(x.shape.size() == 4 && weight.shape.size() == 4,
               "needs x [N, H, W, C] and weight [O, KH, KW, C / groups]");
  args.require(x.dtype == weight.dtype && is_floating(x.dtype), "operands need one real dtype");
  for (const char* name : {"stride", "dilation"})
    for (const int64_t value : args.attributes.get<std::vector<int64_t>>(name))
      args.require(value >= 1 && value <= kLargestStep,
                   fmt::format("{} needs to be from 1 to {}", name, kLargestStep));
  for (const int64_t value : args.attributes.get<std::vector<int64_t>>("padding"))
    args.require(value >= 0 && value <= kLargestStep,
                 fmt::format("padding needs to be from 0 to {}", kLargestStep));
  const int64_t groups = args.attributes.get<int64_t>("groups");
  args.require(
      groups >= 1 && x.shape[3] == weight.shape[3] * groups && weight.shape[0] % groups == 0,
      fmt::format("channels do not fit with {} group(s)", groups));
  args.require(weight.shape[1] >= 1 && weight.shape[2] >= 1, "the kernel is empty");
  const ConvolutionSizes s = convolution_sizes(x.shape, weight.shape, args.attributes);
  args.require(s.oh >= 1 && s.ow >= 1, "the kernel is larger than the padded image");
  return {x.dtype, {s.n, s.oh, s.ow, s.o}};
}

std::vector<Type> infer_forward(const InferArgs& args) {
  Type y = convolved(args, args.in[0], args.in[1]);
  y.dtype = result_dtype(args, y.dtype);
  return {y};
}

/// The type of the operand whose gradient is asked for.
Type from_attribute(const InferArgs& args) {
  return {args.in[0].dtype, args.attributes.get<std::vector<int64_t>>("shape")};
}

std::vector<Type> infer_gradient_input(const InferArgs& args) {  // dy, weight -> dx
  const Type x = from_attribute(args);
  args.require(convolved(args, x, args.in[1]) == args.in[0],
               fmt::format("dy does not fit x {}", x.shape));
  return {{result_dtype(args, x.dtype), x.shape}};
}

std::vector<Type> infer_gradient_weight(const InferArgs& args) {  // x, dy -> dweight
  const Type weight = from_attribute(args);
  args.require(convolved(args, args.in[0], weight) == args.in[1],
               fmt::format("dy does not fit the weight {}", weight.shape));
  return {{result_dtype(args, weight.dtype), weight.shape}};
}

/// Calls visit(x index, weight index, y index) for every product of the convolution.
template <typename Visit>
void for_each_product(const ConvolutionSizes& s, Visit visit) {
  const int64_t c_group = s.c / s.groups, o_group = s.o / s.groups;
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t oy = 0; oy < s.oh; ++oy)
      for (int64_t ox = 0; ox < s.ow; ++ox)
        for (int64_t o = 0; o < s.o; ++o)
          for (int64_t ky = 0; ky < s.kh; ++ky)
            for (int64_t kx = 0; kx < s.kw; ++kx) {
              const int64_t iy = oy * s.stride_h - s.top + ky * s.dilation_h;
              const int64_t ix = ox * s.stride_w - s.left + kx * s.dilation_w;
              if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
              for (int64_t c = 0; c < c_group; ++c)
                visit(static_cast<size_t>(((n * s.h + iy) * s.w + ix) * s.c +
                                          o / o_group * c_group + c),
                      static_cast<size_t>(((o * s.kh + ky) * s.kw + kx) * c_group + c),
                      static_cast<size_t>(((n * s.oh + oy) * s.ow + ox) * s.o + o));
            }
}

void forward_reference(KernelArgs& k) {
  std::vector<double> y(k.out().size());
  for_each_product(convolution_sizes(k.shape(0), k.shape(1), k.attributes),
                   [&](size_t x, size_t w, size_t at) {
                     y[at] += static_cast<double>(k.in(0)[x]) * k.in(1)[w];
                   });
  std::copy(y.begin(), y.end(), k.out().begin());
}

void input_reference(KernelArgs& k) {  // dy, weight -> dx
  std::vector<double> dx(k.out().size());
  for_each_product(convolution_sizes(k.out_shape(), k.shape(1), k.attributes),
                   [&](size_t x, size_t w, size_t at) {
                     dx[x] += static_cast<double>(k.in(0)[at]) * k.in(1)[w];
                   });
  std::copy(dx.begin(), dx.end(), k.out().begin());
}

void weight_reference(KernelArgs& k) {  // x, dy -> dweight
  std::vector<double> dw(k.out().size());
  for_each_product(convolution_sizes(k.shape(0), k.out_shape(), k.attributes),
                   [&](size_t x, size_t w, size_t at) {
                     dw[w] += static_cast<double>(k.in(0)[x]) * k.in(1)[at];
                   });
  std::copy(dw.begin(), dw.end(), k.out().begin());
}

Attributes with_shape(Attributes attributes, const Shape& shape) {
  attributes.set("shape", shape);
  return attributes;
}

Attributes without_shape(const Attributes& attributes) {
  Attributes result;
  for (const auto& [name, value] : attributes.values())
    if (name != "shape") result.set(name, value);
  return result;
}

std::vector<Tensor> forward_gradient(const GradArgs& g) {
  const Tensor x = g.input(0), weight = g.input(1), dy = g.output_grad(0);
  return {apply(convolution_gradient_input, {dy, weight}, with_shape(g.attributes(), x.shape())),
          apply(convolution_gradient_weight, {x, dy}, with_shape(g.attributes(), weight.shape()))};
}

// dx is linear in dy and in the weight, so its gradients are the other two maps again.
std::vector<Tensor> input_gradient(const GradArgs& g) {
  const Tensor dy = g.input(0), weight = g.input(1), ddx = g.output_grad(0);
  return {
      apply(convolution, {ddx, weight}, without_shape(g.attributes())),
      apply(convolution_gradient_weight, {ddx, dy}, with_shape(g.attributes(), weight.shape()))};
}

std::vector<Tensor> weight_gradient(const GradArgs& g) {
  const Tensor x = g.input(0), dy = g.input(1), ddw = g.output_grad(0);
  return {apply(convolution_gradient_input, {dy, ddw}, with_shape(g.attributes(), x.shape())),
          apply(convolution, {x, ddw}, without_shape(g.attributes()))};
}

struct Case {
  Shape x, weight;
  ConvolutionOptions options;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{2, 5, 6, 3}, {4, 3, 3, 3}, {}},
      {{1, 7, 9, 2}, {3, 5, 5, 2}, {.stride = {2, 2}}},
      {{2, 6, 5, 4}, {6, 3, 3, 2}, {.padding = {1, 1, 1, 1}, .groups = 2}},
      {{1, 8, 8, 3}, {2, 3, 2, 3}, {.stride = {2, 1}, .padding = {1, 0, 2, 1}, .dilation = {2, 1}}},
      {{2, 4, 4, 5}, {7, 1, 1, 5}, {}},
      {{1, 16, 32, 3}, {8, 16, 16, 3}, {.stride = {16, 16}}},
  };
  return all;
}

Attributes attributes_of(const ConvolutionOptions& options) {
  return {{"stride", options.stride},
          {"padding", options.padding},
          {"dilation", options.dilation},
          {"groups", options.groups}};
}

Shape output_shape(const Case& c) {
  const ConvolutionSizes s = convolution_sizes(c.x, c.weight, attributes_of(c.options));
  return {s.n, s.oh, s.ow, s.o};
}

template <typename Make>
std::vector<Sample> samples(Make make) {
  std::vector<Sample> all;
  for (const Case& c : cases()) all.push_back(make(c));
  return all;
}

}  // namespace

double ConvolutionSizes::flops() const {
  return 2.0 * static_cast<double>(n * oh * ow) * static_cast<double>(o) *
         static_cast<double>(kh * kw * (c / groups));
}

ConvolutionSizes convolution_sizes(const Shape& x, const Shape& weight,
                                   const Attributes& attributes) {
  const auto& stride = attributes.get<std::vector<int64_t>>("stride");
  const auto& padding = attributes.get<std::vector<int64_t>>("padding");
  const auto& dilation = attributes.get<std::vector<int64_t>>("dilation");
  check(stride.size() == 2 && padding.size() == 4 && dilation.size() == 2,
        "convolution options of another length");
  ConvolutionSizes s{.n = x[0],
                     .h = x[1],
                     .w = x[2],
                     .c = x[3],
                     .o = weight[0],
                     .kh = weight[1],
                     .kw = weight[2],
                     .oh = 0,
                     .ow = 0,
                     .groups = attributes.get<int64_t>("groups"),
                     .stride_h = stride[0],
                     .stride_w = stride[1],
                     .top = padding[0],
                     .bottom = padding[1],
                     .left = padding[2],
                     .right = padding[3],
                     .dilation_h = dilation[0],
                     .dilation_w = dilation[1]};
  const auto steps = [](int64_t room, int64_t step) { return room < 0 ? 0 : room / step + 1; };
  s.oh = steps(s.h + s.top + s.bottom - (s.kh - 1) * s.dilation_h - 1, s.stride_h);
  s.ow = steps(s.w + s.left + s.right - (s.kw - 1) * s.dilation_w - 1, s.stride_w);
  return s;
}

extern const OpDef convolution = {
    .name = "convolution",
    .formula =
        "y[n, i, j, o] = sum_{p, q, c} x[n, i s + p d - pad, j s + q d - pad, c] w[o, p, q, c]",
    .infer = infer_forward,
    .gradient = forward_gradient,
    .flops =
        [](Types in, Types, const Attributes& a) {
          return convolution_sizes(in[0].shape, in[1].shape, a).flops();
        },
    .reference = forward_reference,
    .precision = Precision::narrow,
    .samples =
        samples([](const Case& c) { return sample({c.x, c.weight}, attributes_of(c.options)); }),
};

extern const OpDef convolution_gradient_input = {
    .name = "convolution_gradient_input",
    .formula = "dx = the transpose of the convolution, as a map of x, applied to dy",
    .infer = infer_gradient_input,
    .gradient = input_gradient,
    .flops =
        [](Types in, Types out, const Attributes& a) {
          return convolution_sizes(out[0].shape, in[1].shape, a).flops();
        },
    .reference = input_reference,
    .precision = Precision::narrow,
    .samples = samples([](const Case& c) {
      return sample({output_shape(c), c.weight}, with_shape(attributes_of(c.options), c.x));
    }),
};

extern const OpDef convolution_gradient_weight = {
    .name = "convolution_gradient_weight",
    .formula = "dw = the transpose of the convolution, as a map of w, applied to dy",
    .infer = infer_gradient_weight,
    .gradient = weight_gradient,
    .flops =
        [](Types in, Types out, const Attributes& a) {
          return convolution_sizes(in[0].shape, out[0].shape, a).flops();
        },
    .reference = weight_reference,
    .precision = Precision::narrow,
    .samples = samples([](const Case& c) {
      return sample({c.x, output_shape(c)}, with_shape(attributes_of(c.options), c.weight));
    }),
};

}  // namespace argosy::ops
