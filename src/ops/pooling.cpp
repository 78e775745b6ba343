#include "ops/pooling.h"

#include <cmath>
#include <limits>

#include "ops/ops.h"

// Windows over images. What lies outside the image never wins a maximum and counts as zero in an
// average, as PyTorch's defaults have it.
namespace argosy::ops {
namespace {

Type pooled(const InferArgs& args, const Type& x) {
  args.require(x.shape.size() == 4 && is_floating(x.dtype), "needs real x [N, H, W, C]");
  const auto& kernel = args.attributes.get<std::vector<int64_t>>("kernel");
  const auto& padding = args.attributes.get<std::vector<int64_t>>("padding");
  for (const int64_t value : args.attributes.get<std::vector<int64_t>>("stride"))
    args.require(value >= 1, "stride needs to be at least 1");
  for (size_t i = 0; i < 2; ++i)
    args.require(kernel[i] >= 1 && kernel[i] <= 1 << 15, "the window is empty or too large");
  for (size_t i = 0; i < 4; ++i)
    args.require(padding[i] >= 0 && padding[i] < kernel[i / 2],
                 "padding needs to be smaller than the window");
  const PoolSizes s = pool_sizes(x.shape, args.attributes);
  args.require(s.oh >= 1 && s.ow >= 1, "the window is larger than the padded image");
  return {x.dtype, {s.n, s.oh, s.ow, s.c}};
}

std::vector<Type> infer(const InferArgs& args) { return {pooled(args, args.in[0])}; }

std::vector<Type> infer_max_gradient(const InferArgs& args) {  // dy, x, y -> dx
  args.require(pooled(args, args.in[1]) == args.in[0] && args.in[2] == args.in[0],
               "needs dy, x and y of one pooling");
  return {args.in[1]};
}

std::vector<Type> infer_average_gradient(const InferArgs& args) {  // dy -> dx
  const Type x = {args.in[0].dtype, args.attributes.get<std::vector<int64_t>>("shape")};
  args.require(pooled(args, x) == args.in[0], fmt::format("dy does not fit x {}", x.shape));
  return {x};
}

std::vector<Tensor> max_gradient(const GradArgs& g) {
  return {apply(max_pool_gradient, {g.output_grad(0), g.input(0), g.output(0)}, g.attributes())};
}

std::vector<Tensor> average_gradient(const GradArgs& g) {
  Attributes attributes = g.attributes();
  attributes.set("shape", g.input(0).shape());
  return {apply(average_pool_gradient, {g.output_grad(0)}, attributes)};
}

// linear in dy, so that its gradient is the pooling again
std::vector<Tensor> average_gradient_gradient(const GradArgs& g) {
  Attributes attributes;
  for (const auto& [name, value] : g.attributes().values())
    if (name != "shape") attributes.set(name, value);
  return {apply(average_pool, {g.output_grad(0)}, attributes)};
}

template <void (*kImages)(KernelArgs&, int64_t, int64_t)>
void all_images(KernelArgs& k) {
  kImages(k, 0, k.out_shape()[0]);
}

double flops(Types in, Types out, const Attributes& attributes) {
  const auto& kernel = attributes.get<std::vector<int64_t>>("kernel");
  return static_cast<double>(std::min(in[0].elements(), out[0].elements())) *
         static_cast<double>(kernel[0] * kernel[1]);
}

struct Case {
  Shape x;
  Attributes attributes;
};

std::vector<Case> cases() {
  const auto options = [](Shape kernel, Shape stride, Shape padding) {
    return Attributes{{"kernel", kernel}, {"stride", stride}, {"padding", padding}};
  };
  return {{{2, 6, 8, 3}, options({2, 2}, {2, 2}, {0, 0, 0, 0})},
          {{1, 7, 9, 5}, options({3, 3}, {2, 2}, {1, 1, 1, 1})},
          {{2, 5, 4, 17}, options({3, 2}, {1, 1}, {0, 2, 1, 0})},
          {{1, 3, 3, 1}, options({3, 3}, {1, 1}, {0, 0, 0, 0})}};
}

Shape output_shape(const Case& c) {
  const PoolSizes s = pool_sizes(c.x, c.attributes);
  return {s.n, s.oh, s.ow, s.c};
}

template <typename Make>
std::vector<Sample> samples(Make make) {
  std::vector<Sample> all;
  for (const Case& c : cases()) all.push_back(make(c));
  return all;
}

}  // namespace

PoolSizes pool_sizes(const Shape& x, const Attributes& attributes) {
  const auto& kernel = attributes.get<std::vector<int64_t>>("kernel");
  const auto& stride = attributes.get<std::vector<int64_t>>("stride");
  const auto& padding = attributes.get<std::vector<int64_t>>("padding");
  const auto steps = [](int64_t room, int64_t step) { return room < 0 ? 0 : room / step + 1; };
  return {.n = x[0],
          .h = x[1],
          .w = x[2],
          .c = x[3],
          .oh = steps(x[1] + padding[0] + padding[1] - kernel[0], stride[0]),
          .ow = steps(x[2] + padding[2] + padding[3] - kernel[1], stride[1]),
          .kh = kernel[0],
          .kw = kernel[1],
          .stride_h = stride[0],
          .stride_w = stride[1],
          .top = padding[0],
          .left = padding[2]};
}

namespace {

/// Calls visit(x's run, y's run) of C channels each for every element of every window.
template <typename Visit>
void for_images(const PoolSizes& s, int64_t first, int64_t last, Visit visit) {
  for (int64_t image = first; image < last; ++image)
    for (int64_t i = 0; i < s.oh; ++i)
      for (int64_t j = 0; j < s.ow; ++j)
        s.for_window(image, i, j, [&](int64_t x, int64_t y) { visit(x * s.c, y * s.c); });
}

/// Sets the images [first, last) of output 0.
void fill_images(KernelArgs& k, int64_t first, int64_t last, float value) {
  const int64_t size = count(k.out_shape()) / std::max<int64_t>(1, k.out_shape()[0]);
  std::fill_n(k.out().data() + first * size, (last - first) * size, value);
}

void max_pool_images(KernelArgs& k, int64_t first, int64_t last) {
  const PoolSizes s = pool_sizes(k.shape(0), k.attributes);
  const float* x = k.in(0).data();
  float* y = k.out().data();
  fill_images(k, first, last, -std::numeric_limits<float>::infinity());
  for_images(s, first, last, [&](int64_t from, int64_t to) {
    for (int64_t c = 0; c < s.c; ++c)
      if (x[from + c] > y[to + c] || x[from + c] != x[from + c]) y[to + c] = x[from + c];
  });
}

// The first of a window's largest takes the gradient, as in PyTorch.
void max_pool_gradient_images(KernelArgs& k, int64_t first, int64_t last) {
  const PoolSizes s = pool_sizes(k.shape(1), k.attributes);
  const float *dy = k.in(0).data(), *x = k.in(1).data(), *y = k.in(2).data();
  float* dx = k.out().data();
  fill_images(k, first, last, 0);
  std::vector<char> given(static_cast<size_t>(s.c));
  int64_t window = -1;
  for_images(s, first, last, [&](int64_t from, int64_t to) {
    if (to != window) std::fill(given.begin(), given.end(), 0);
    window = to;
    for (int64_t c = 0; c < s.c; ++c)
      if (!given[static_cast<size_t>(c)] &&
          (x[from + c] == y[to + c] || x[from + c] != x[from + c])) {
        given[static_cast<size_t>(c)] = 1;
        dx[from + c] += dy[to + c];
      }
  });
}

}  // namespace

void average_pool_images(KernelArgs& k, int64_t first, int64_t last) {
  const PoolSizes s = pool_sizes(k.shape(0), k.attributes);
  const float* x = k.in(0).data();
  float* y = k.out().data();
  const float share = 1.0f / static_cast<float>(s.kh * s.kw);
  fill_images(k, first, last, 0);
  for_images(s, first, last, [&](int64_t from, int64_t to) {
    for (int64_t c = 0; c < s.c; ++c) y[to + c] += share * x[from + c];
  });
}

void average_pool_gradient_images(KernelArgs& k, int64_t first, int64_t last) {
  const PoolSizes s = pool_sizes(k.out_shape(), k.attributes);
  const float* dy = k.in(0).data();
  float* dx = k.out().data();
  const float share = 1.0f / static_cast<float>(s.kh * s.kw);
  fill_images(k, first, last, 0);
  for_images(s, first, last, [&](int64_t to, int64_t from) {
    for (int64_t c = 0; c < s.c; ++c) dx[to + c] += share * dy[from + c];
  });
}

extern const OpDef max_pool = {
    .name = "max_pool",
    .formula = "y[n, i, j, c] = max of x[n, i s + p - pad, j s + q - pad, c] over the window p, q",
    .infer = infer,
    .gradient = max_gradient,
    .flops = flops,
    .reference = all_images<max_pool_images>,
    .precision = Precision::moves,
    .samples = samples([](const Case& c) { return sample({c.x}, c.attributes); }),
};

extern const OpDef max_pool_gradient = {
    .name = "max_pool_gradient",
    .formula = "dx from dy, x and y: each window's dy goes to the first of its largest",
    .infer = infer_max_gradient,
    .flops = flops,
    .reference = all_images<max_pool_gradient_images>,
    .precision = Precision::moves,
    .samples = samples([](const Case& c) {
      return sample({output_shape(c), c.x, output_shape(c)}, c.attributes);
    }),
};

extern const OpDef average_pool = {
    .name = "average_pool",
    .formula = "y[n, i, j, c] = mean of x over the window, zero outside the image",
    .infer = infer,
    .gradient = average_gradient,
    .flops = flops,
    .reference = all_images<average_pool_images>,
    .precision = Precision::mixed,
    .samples = samples([](const Case& c) { return sample({c.x}, c.attributes); }),
};

extern const OpDef average_pool_gradient = {
    .name = "average_pool_gradient",
    .formula = "dx = the transpose of average_pool applied to dy",
    .infer = infer_average_gradient,
    .gradient = average_gradient_gradient,
    .flops = flops,
    .reference = all_images<average_pool_gradient_images>,
    .precision = Precision::mixed,
    .samples = samples([](const Case& c) {
      Attributes attributes = c.attributes;
      attributes.set("shape", c.x);
      return sample({output_shape(c)}, attributes);
    }),
};

}  // namespace argosy::ops
