#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/ops.h"

// Order along the last axis. NaN counts as larger than every number; equals keep their order.
namespace argosy::ops {
namespace {

bool larger(float a, float b) { return std::isnan(a) ? !std::isnan(b) : a > b; }

std::vector<Type> infer_top_k(const InferArgs& args) {
  Type values = args.in[0];
  const int64_t k = args.attributes.get<int64_t>("k");
  args.require(!values.shape.empty() && is_floating(values.dtype),
               "needs a real tensor with a last axis");
  args.require(k >= 0 && k <= values.shape.back(), fmt::format("has no {} largest", k));
  values.shape.back() = k;
  return {values, {DType::i32, values.shape}};
}

std::vector<Type> infer_sort(const InferArgs& args) {
  args.require(!args.in[0].shape.empty() && is_floating(args.in[0].dtype),
               "needs a real tensor with a last axis");
  return {args.in[0], {DType::i32, args.in[0].shape}};
}

/// The first `kept` of each row in the order that `before` gives.
template <typename Before>
void order_rows(const KernelArgs& a, size_t kept, Before before) {
  const auto n = static_cast<size_t>(a.shape(0).back());
  std::vector<int32_t> order(n);
  for (size_t row = 0; n > 0 && row < a.in(0).size() / n; ++row) {
    const float* x = &a.in(0)[row * n];
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t i, int32_t j) { return before(x[i], x[j]); });
    for (size_t i = 0; i < kept; ++i) {
      a.out(0)[row * kept + i] = x[order[i]];
      a.out<int32_t>(1)[row * kept + i] = order[i];
    }
  }
}

void top_k_reference(KernelArgs& a) {
  order_rows(a, static_cast<size_t>(a.out_shape().back()), larger);
}

void sort_reference(KernelArgs& a) {
  const auto n = static_cast<size_t>(a.shape(0).back());
  if (a.attributes.get<bool>("descending"))
    order_rows(a, n, larger);
  else
    order_rows(a, n, [](float x, float y) { return larger(y, x); });
}

// Each value's gradient goes back to where it came from.
std::vector<Tensor> gradient(const GradArgs& g) {
  return {apply(scatter_last, {g.output_grad(0), g.output(1)}, {{"size", g.input(0).size(-1)}})};
}

double flops(Types in, Types, const Attributes&) {
  const double n = static_cast<double>(in[0].elements());
  return n * std::log2(std::max(2.0, static_cast<double>(in[0].shape.back())));
}

}  // namespace

extern const OpDef top_k = {
    .name = "top_k",
    .formula = "the k largest of each row of the last axis, largest first, and their places",
    .infer = infer_top_k,
    .gradient = gradient,
    .flops = flops,
    .reference = top_k_reference,
    .exact = true,
    .samples = {sample({{3, 7}}, {{"k", int64_t{2}}}), sample({{2, 3, 33}}, {{"k", int64_t{5}}}),
                sample({{4}}, {{"k", int64_t{4}}}), sample({{2, 4}}, {{"k", int64_t{0}}}),
                sample({{5, 1}}, {{"k", int64_t{1}}}), sample({{2, 700}}, {{"k", int64_t{40}}})},
};

extern const OpDef sort = {
    .name = "sort",
    .formula = "each row of the last axis in order, and the places its elements had",
    .infer = infer_sort,
    .gradient = gradient,
    .flops = flops,
    .reference = sort_reference,
    .exact = true,
    .samples = {sample({{3, 7}}, {{"descending", false}}),
                sample({{2, 2, 33}}, {{"descending", true}}),
                sample({{0, 3}}, {{"descending", false}}), sample({{4, 1}}, {{"descending", true}}),
                sample({{2, 700}}, {{"descending", true}}),
                sample({{613}}, {{"descending", false}})},
};

}  // namespace argosy::ops
