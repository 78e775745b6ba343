#include <algorithm>
#include <limits>

#include "ops/ops.h"

// Reductions over adjacent axes: the operand is seen as [outer, reduced, inner].
namespace argosy::ops {
namespace {

struct Blocks {
  int64_t outer = 1, reduced = 1, inner = 1;
};

Blocks blocks(const Shape& shape, const Attributes& attributes) {
  const auto axis = static_cast<size_t>(attributes.get<int64_t>("axis"));
  const auto end = axis + static_cast<size_t>(attributes.get<int64_t>("axes"));
  Blocks b;
  for (size_t i = 0; i < shape.size(); ++i)
    (i < axis ? b.outer : i < end ? b.reduced : b.inner) *= shape[i];
  return b;
}

Shape reduced_shape(const InferArgs& args) {
  const int64_t axis = args.attributes.get<int64_t>("axis"),
                axes = args.attributes.get<int64_t>("axes");
  Shape shape = args.in[0].shape;
  args.require(axis >= 0 && axes >= 0 && axis + axes <= static_cast<int64_t>(shape.size()),
               "axis out of range");
  std::fill_n(shape.begin() + axis, axes, 1);
  return shape;
}

std::vector<Type> infer_sum(const InferArgs& args) {
  args.require(is_floating(args.in[0].dtype) || is_integer(args.in[0].dtype),
               "the operand needs to be f32, bf16, i32 or i64");
  return {{result_dtype(args, args.in[0].dtype), reduced_shape(args)}};
}

std::vector<Type> infer_max(const InferArgs& args) {
  const Type y = {args.in[0].dtype, reduced_shape(args)};
  args.require(is_floating(y.dtype), "the operand needs to be f32 or bf16");
  args.require(args.in[0].elements() > 0 || y.elements() == 0, "nothing has no maximum");
  return {y};
}

std::vector<Type> infer_index(const InferArgs& args) {
  return {{DType::i32, infer_max(args)[0].shape}};
}

double flops(Types in, Types, const Attributes&) { return static_cast<double>(in[0].elements()); }

/// Calls fold(row, element, position) for each element of each reduction.
template <typename Fold>
void fold_all(const KernelArgs& k, Fold fold) {
  const Blocks b = blocks(k.shape(0), k.attributes);
  for (int64_t o = 0; o < b.outer; ++o)
    for (int64_t r = 0; r < b.reduced; ++r)
      for (int64_t i = 0; i < b.inner; ++i)
        fold(static_cast<size_t>(o * b.inner + i),
             static_cast<size_t>((o * b.reduced + r) * b.inner + i), r);
}

void sum_reference(KernelArgs& k) {
  if (is_integer(k.in_types[0].dtype)) {
    visit_dtype(k.in_types[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_integral_v<T>) {
        std::vector<int64_t> totals(k.out<T>().size());
        fold_all(k, [&](size_t row, size_t at, int64_t) { totals[row] += k.in<T>(0)[at]; });
        std::copy(totals.begin(), totals.end(), k.out<T>().begin());
      }
    });
    return;
  }
  std::vector<double> totals(k.out().size());
  fold_all(k, [&](size_t row, size_t at, int64_t) { totals[row] += k.in(0)[at]; });
  std::copy(totals.begin(), totals.end(), k.out().begin());
}

void max_reference(KernelArgs& k) {
  std::fill(k.out().begin(), k.out().end(), -std::numeric_limits<float>::infinity());
  fold_all(k, [&](size_t row, size_t at, int64_t) {
    const float x = k.in(0)[at];
    if (x > k.out()[row] || x != x) k.out()[row] = x;
  });
}

void argmax_reference(KernelArgs& k) {
  std::vector<float> best(k.out<int32_t>().size(), -std::numeric_limits<float>::infinity());
  std::fill(k.out<int32_t>().begin(), k.out<int32_t>().end(), 0);
  fold_all(k, [&](size_t row, size_t at, int64_t position) {
    if (k.in(0)[at] > best[row]) {
      best[row] = k.in(0)[at];
      k.out<int32_t>()[row] = static_cast<int32_t>(position);
    }
  });
}

std::vector<Tensor> sum_gradient(const GradArgs& g) {
  return {broadcast_shape(g.output_grad(0), g.input(0).shape())};
}

// The elements that equal the maximum share its gradient, as PyTorch's amax does.
std::vector<Tensor> max_gradient(const GradArgs& g) {
  const Tensor dy = g.output_grad(0);
  const Tensor at_top = cast_to(apply(equal, {g.input(0), g.output(0)}), dy.dtype());
  const Tensor tied = apply(sum, {at_top}, g.attributes());
  return {at_top * (dy / tied)};
}

std::vector<Sample> samples() {
  return {sample({{4, 5}}, {{"axis", int64_t{1}}, {"axes", int64_t{1}}}),
          sample({{4, 5, 3}}, {{"axis", int64_t{0}}, {"axes", int64_t{2}}}),
          sample({{2, 33, 17}}, {{"axis", int64_t{1}}, {"axes", int64_t{1}}}),
          sample({{301, 24}}, {{"axis", int64_t{0}}, {"axes", int64_t{1}}}),
          sample({{2, 1090, 3}}, {{"axis", int64_t{1}}, {"axes", int64_t{1}}}),
          sample({{3, 1, 1}}, {{"axis", int64_t{1}}, {"axes", int64_t{2}}}),
          sample({{1}}, {{"axis", int64_t{0}}, {"axes", int64_t{1}}}),
          sample({{3, 1000}}, {{"axis", int64_t{1}}, {"axes", int64_t{1}}}),
          sample({{7, 19}}, {{"axis", int64_t{0}}, {"axes", int64_t{2}}})};
}

std::vector<Sample> with_empty(std::vector<Sample> list) {
  list.push_back(sample({{0, 4}}, {{"axis", int64_t{0}}, {"axes", int64_t{1}}}));
  return list;
}

}  // namespace

extern const OpDef sum = {
    .name = "sum",
    .formula = "y[o, 1, i] = sum_r x[o, r, i]",
    .infer = infer_sum,
    .gradient = sum_gradient,
    .flops = flops,
    .reference = sum_reference,
    .precision = Precision::sums,
    .samples = with_empty(samples()),
};

extern const OpDef max_reduce = {
    .name = "max_reduce",
    .formula = "y[o, 1, i] = max_r x[o, r, i]",
    .infer = infer_max,
    .gradient = max_gradient,
    .flops = flops,
    .reference = max_reference,
    .exact = true,
    .precision = Precision::moves,
    .samples = samples(),
};

extern const OpDef argmax = {
    .name = "argmax",
    .formula = "y[o, 1, i] = the first r where x[o, r, i] is largest",
    .infer = infer_index,
    .flops = flops,
    .reference = argmax_reference,
    .exact = true,
    .samples = samples(),
};

}  // namespace argosy::ops
