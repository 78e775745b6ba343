#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/ops.h"

namespace argosy::ops {

Tensor apply(const OpDef& op, std::initializer_list<Tensor> inputs, Attributes attributes) {
  return inputs.begin()->graph().add_one(op, {inputs.begin(), inputs.size()},
                                         std::move(attributes));
}

Tensor constant_like(const Tensor& like, float value) {
  return like.graph().constant(value, like.dtype());
}

std::vector<Type> same_as_first(const InferArgs& args) {
  args.require(!args.in.empty(), "needs an operand");
  return {args.in[0]};
}

DType result_dtype(const InferArgs& args, DType natural) {
  return args.attributes.get_or("dtype", natural);
}

Tensor kept_wide(Graph& graph, const std::function<Tensor()>& build) {
  const size_t first = graph.nodes().size();
  const Tensor x = build();
  for (size_t i = first; i < graph.nodes().size(); ++i)
    if (Node& node = graph.nodes()[i]; !node.inputs.empty()) node.attributes.set("wide", true);
  return x;
}

Tensor cast_to(const Tensor& x, DType dtype) {
  return x.dtype() == dtype ? x : apply(cast, {x}, {{"dtype", dtype}});
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  return apply(select, {condition, a, b});
}

namespace {

/// One reduction node per run of adjacent axes, the last run first, so that kernels only ever see
/// [outer, reduced, inner].
Tensor reduce(const OpDef& op, Tensor x, std::vector<int64_t> axes, bool keep) {
  const int64_t rank = x.rank();
  if (axes.empty()) {
    axes.resize(static_cast<size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
  }
  for (int64_t& axis : axes) axis = normal_axis(axis, rank);
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  Shape kept = x.shape(), dropped;
  for (int64_t i = 0; i < rank; ++i) {
    if (std::binary_search(axes.begin(), axes.end(), i))
      kept[static_cast<size_t>(i)] = 1;
    else
      dropped.push_back(x.size(i));
  }
  for (size_t end = axes.size(); end > 0;) {
    size_t begin = end - 1;
    while (begin > 0 && axes[begin - 1] == axes[begin] - 1) --begin;
    x = apply(op, {x}, {{"axis", axes[begin]}, {"axes", static_cast<int64_t>(end - begin)}});
    end = begin;
  }
  return reshape_to(x, keep ? kept : dropped);
}

}  // namespace

Tensor reduce_sum(const Tensor& x, std::vector<int64_t> axes, bool keep) {
  return reduce(sum, x, std::move(axes), keep);
}

Tensor reduce_mean(const Tensor& x, std::vector<int64_t> axes, bool keep) {
  const Tensor total = reduce_sum(x, std::move(axes), keep);
  return total * (static_cast<float>(total.elements()) /
                  static_cast<float>(std::max<int64_t>(1, x.elements())));
}

Tensor reduce_max(const Tensor& x, std::vector<int64_t> axes, bool keep) {
  return reduce(max_reduce, x, std::move(axes), keep);
}

Tensor reshape_to(const Tensor& x, Shape shape) {
  if (const auto unknown = std::find(shape.begin(), shape.end(), -1); unknown != shape.end()) {
    *unknown = 1;
    *unknown = x.elements() / std::max<int64_t>(1, count(shape));
  }
  return shape == x.shape() ? x : apply(reshape, {x}, {{"shape", shape}});
}

Tensor permute(const Tensor& x, std::vector<int64_t> order) {
  return apply(transpose, {x}, {{"order", std::move(order)}});
}

Tensor swap_last(const Tensor& x) {
  std::vector<int64_t> order(static_cast<size_t>(x.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return permute(x, order);
}

Tensor broadcast_shape(const Tensor& x, const Shape& shape) {
  return x.shape() == shape ? x : apply(broadcast_to, {x}, {{"shape", shape}});
}

Tensor slice_axis(const Tensor& x, int64_t axis, int64_t begin, int64_t end) {
  axis = normal_axis(axis, x.rank());
  if (begin == 0 && end == x.size(axis)) return x;
  return apply(slice, {x}, {{"axis", axis}, {"begin", begin}, {"end", end}});
}

Tensor concatenate(std::span<const Tensor> parts, int64_t axis) {
  if (parts.size() == 1) return parts[0];
  return parts[0].graph().add_one(concat, parts, {{"axis", normal_axis(axis, parts[0].rank())}});
}

Tensor pad_axis(const Tensor& x, int64_t axis, int64_t before, int64_t after) {
  if (before == 0 && after == 0) return x;
  return apply(pad, {x},
               {{"axis", normal_axis(axis, x.rank())}, {"before", before}, {"after", after}});
}

Tensor range(Graph& graph, int64_t n, DType dtype) {
  return graph.add_one(iota, {}, {{"size", n}, {"dtype", dtype}});
}

Tensor matrix_multiply(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  return apply(matmul, {a, b}, {{"transpose_a", transpose_a}, {"transpose_b", transpose_b}});
}

Tensor convolve(const Tensor& x, const Tensor& weight, const ConvolutionOptions& options) {
  return apply(convolution, {x, weight},
               {{"stride", options.stride},
                {"padding", options.padding},
                {"dilation", options.dilation},
                {"groups", options.groups}});
}

namespace {
Attributes attributes_of(const PoolOptions& options) {
  return {{"kernel", options.kernel}, {"stride", options.stride}, {"padding", options.padding}};
}

Ordered ordered(const std::vector<Tensor>& outputs) { return {outputs[0], outputs[1]}; }
}  // namespace

Tensor pool_max(const Tensor& x, const PoolOptions& options) {
  return apply(max_pool, {x}, attributes_of(options));
}
Tensor pool_average(const Tensor& x, const PoolOptions& options) {
  return apply(average_pool, {x}, attributes_of(options));
}

Ordered largest(const Tensor& x, int64_t k) {
  return ordered(x.graph().add(top_k, {&x, 1}, {{"k", k}}));
}
Ordered sorted(const Tensor& x, bool descending) {
  return ordered(x.graph().add(sort, {&x, 1}, {{"descending", descending}}));
}
Tensor running_sum(const Tensor& x, bool reverse) {
  return apply(cumulative_sum, {x}, {{"reverse", reverse}});
}

Tensor counts_of(const Tensor& x, int64_t size) {
  return apply(count_values, {x}, {{"size", size}});
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
              const Tensor& segments, const Tensor& key_segments) {
  const double width = static_cast<double>(std::max<int64_t>(1, q.size(-1)));
  check(segments || !key_segments, "the keys have segments and the queries have none");
  std::vector operands = {q, k, v};
  for (const Tensor& numbers : {segments, key_segments})
    if (numbers) operands.push_back(numbers);
  return q.graph().add(attention, operands,
                       {{"causal", options.causal},
                        {"scale", options.scale == 0 ? 1 / std::sqrt(width) : options.scale},
                        {"window", options.window},
                        {"soft_cap", options.soft_cap}})[0];
}

Tensor uniform(Graph& graph, const Shape& shape, const Tensor& seed, int64_t stream) {
  return graph.add_one(random_uniform, {&seed, 1}, {{"shape", shape}, {"stream", stream}});
}

Tensor normal(Graph& graph, const Shape& shape, const Tensor& seed, int64_t stream) {
  return graph.add_one(random_normal, {&seed, 1}, {{"shape", shape}, {"stream", stream}});
}

Tensor sum_to(const Tensor& t, const Shape& shape) {
  if (t.shape() == shape) return t;
  std::vector<int64_t> axes;
  const size_t extra = t.shape().size() - shape.size();
  for (size_t i = 0; i < t.shape().size(); ++i)
    if (i < extra || (shape[i - extra] == 1 && t.shape()[i] != 1))
      axes.push_back(static_cast<int64_t>(i));
  return reshape_to(axes.empty() ? t : reduce_sum(t, axes, true), shape);
}

}  // namespace argosy::ops

namespace argosy {
using ops::apply, ops::constant_like;
Tensor operator+(const Tensor& a, const Tensor& b) { return apply(ops::add, {a, b}); }
Tensor operator-(const Tensor& a, const Tensor& b) { return apply(ops::subtract, {a, b}); }
Tensor operator*(const Tensor& a, const Tensor& b) { return apply(ops::multiply, {a, b}); }
Tensor operator/(const Tensor& a, const Tensor& b) { return apply(ops::divide, {a, b}); }
Tensor operator+(const Tensor& a, float b) { return a + constant_like(a, b); }
Tensor operator-(const Tensor& a, float b) { return a - constant_like(a, b); }
Tensor operator*(const Tensor& a, float b) { return a * constant_like(a, b); }
Tensor operator/(const Tensor& a, float b) { return a / constant_like(a, b); }
Tensor operator+(float a, const Tensor& b) { return constant_like(b, a) + b; }
Tensor operator-(float a, const Tensor& b) { return constant_like(b, a) - b; }
Tensor operator*(float a, const Tensor& b) { return constant_like(b, a) * b; }
Tensor operator/(float a, const Tensor& b) { return constant_like(b, a) / b; }
Tensor operator-(const Tensor& a) { return apply(ops::negate, {a}); }
}  // namespace argosy
