#include "nn/layers.h"

#include "nn/initializers.h"
#include "nn/rotary.h"

namespace argosy::nn {

using namespace ops;

Tensor linear(const Scope& scope, const Tensor& x, int64_t out, bool bias) {
  const int64_t in = x.size(-1);
  const Tensor y = multiply(x, scope.weight("weight", out, in, fan_in_uniform(in)));
  return bias ? y + scope.parameter("bias", {out}, fan_in_uniform(in), false) : y;
}

Tensor convolution(const Scope& scope, const Tensor& x, int64_t out, int64_t kernel,
                   const ConvolutionOptions& options, bool bias) {
  const int64_t in = x.size(-1) / std::max<int64_t>(1, options.groups),
                fan_in = in * kernel * kernel;
  const Tensor y = convolve(
      x, scope.parameter("weight", {out, kernel, kernel, in}, fan_in_uniform(fan_in), true),
      options);
  return bias ? y + scope.parameter("bias", {out}, fan_in_uniform(fan_in), false) : y;
}

Tensor layer_norm(const Scope& scope, const Tensor& x, double epsilon, bool bias) {
  const Type width = {DType::f32, {x.size(-1)}};
  const Tensor weight = scope.parameter("weight", width.shape, constant(1), false);
  const Tensor shift = bias ? scope.parameter("bias", width.shape, {}, false)
                            : x.graph().constant(width, std::vector<std::byte>(width.bytes()));
  return x.graph().add(ops::layer_norm, std::vector{x, weight, shift}, {{"epsilon", epsilon}})[0];
}

Tensor rms_norm(const Scope& scope, const Tensor& x, double epsilon) {
  const Tensor weight = scope.parameter("weight", {x.size(-1)}, constant(1), false);
  return x.graph().add(ops::rms_norm, std::vector{x, weight}, {{"epsilon", epsilon}})[0];
}

namespace {

/// (x - mean) / sqrt(variance + epsilon) over `axes`; also gives mean and (biased) variance.
Tensor normalise(const Tensor& x, const std::vector<int64_t>& axes, double epsilon,
                 Tensor* mean_out = nullptr, Tensor* variance_out = nullptr) {
  const Tensor mean = reduce_mean(x, axes, true), centred = x - mean;
  const Tensor variance = reduce_mean(centred * centred, axes, true);
  if (mean_out) *mean_out = mean;
  if (variance_out) *variance_out = variance;
  return centred * apply(rsqrt, {variance + static_cast<float>(epsilon)});
}

}  // namespace

Tensor group_norm(const Scope& scope, const Tensor& x, int64_t groups, double epsilon) {
  const Shape channels = {x.size(-1)};
  const Tensor weight = scope.parameter("weight", channels, constant(1), false),
               bias = scope.parameter("bias", channels, {}, false);
  return x.graph().add(ops::group_norm, std::vector{x, weight, bias},
                       {{"groups", groups}, {"epsilon", epsilon}})[0];
}

Tensor batch_norm(const Scope& scope, const Tensor& x, double momentum, double epsilon) {
  const int64_t channels = x.size(-1);
  const Tensor running_mean = scope.statistic("running_mean", {channels}, {});
  const Tensor running_variance = scope.statistic("running_var", {channels}, constant(1));
  const Tensor weight = scope.parameter("weight", {channels}, constant(1), false);
  const Tensor bias = scope.parameter("bias", {channels}, {}, false);
  if (!scope.training())
    return (x - running_mean) *
               (apply(rsqrt, {running_variance + static_cast<float>(epsilon)}) * weight) +
           bias;
  std::vector<int64_t> axes;
  for (int64_t axis = 0; axis + 1 < x.rank(); ++axis) axes.push_back(axis);
  Tensor mean, variance;
  const Tensor y = normalise(x, axes, epsilon, &mean, &variance);
  if (x.elements() == 0) return y * weight + bias;  // nothing was seen: no new statistics
  const auto n = static_cast<float>(x.elements() / channels),
             keep = static_cast<float>(1 - momentum);
  const float unbiased = static_cast<float>(momentum) * n / std::max(1.0f, n - 1.0f);
  scope.later(running_mean,
              running_mean * keep + reshape_to(mean, {channels}) * static_cast<float>(momentum));
  scope.later(running_variance,
              running_variance * keep + reshape_to(variance, {channels}) * unbiased);
  return y * weight + bias;
}

Tensor dropout(const Scope& scope, const Tensor& x, float share) {
  if (!scope.training() || share <= 0) return x;
  check(static_cast<bool>(scope.seed()), "dropout needs the scope's seed");
  const Tensor draw = ops::uniform(x.graph(), x.shape(), scope.seed(), scope.next_stream());
  const Tensor kept = apply(greater_equal, {draw, constant_like(draw, share)});
  return where(kept, x * (1.0f / (1.0f - share)), constant_like(x, 0));
}

Tensor embedding(const Scope& scope, const Tensor& indices, int64_t entries, int64_t width) {
  return apply(gather, {scope.parameter("weight", {entries, width}, normal(1), true), indices});
}

namespace {

/// attend() where some keys are padding.
Tensor attend_to_unpadded(const Tensor& q, const Tensor& k, const Tensor& v,
                          const ops::AttentionOptions& options, const Tensor& padding) {
  Graph& graph = q.graph();
  const int64_t batch = q.size(0), times = q.size(1), keys = k.size(1), heads = q.size(2);
  const Tensor numbers =
      where(padding, graph.constant(-1, DType::i32), graph.constant(0, DType::i32));
  const Tensor zeros = broadcast_shape(graph.constant(0, DType::i32), {batch, times});
  const Tensor y = attend(q, k, v, options, zeros, numbers);
  // how many keys each query sees [B, T]
  const Tensor there = where(padding, graph.constant(0), graph.constant(1));
  const Tensor seen = options.causal
                          ? slice_axis(running_sum(there), 1, keys - times, keys)
                          : broadcast_shape(reduce_sum(there, {1}, true), {batch, times});
  const Tensor blind = apply(less, {reshape_to(seen, {batch, times, 1, 1}), graph.constant(1)});
  // [B, 1, G, 1, K], each for the heads of its group
  const Tensor mean = reshape_to(reduce_mean(v, {1}), {batch, 1, v.size(2), 1, v.size(3)});
  const Tensor of_heads =
      reshape_to(broadcast_shape(mean, {batch, 1, v.size(2), heads / v.size(2), v.size(3)}),
                 {batch, 1, heads, v.size(3)});
  return where(blind, of_heads, y);
}

}  // namespace

Tensor attention(const Scope& scope, const Tensor& queries, const Tensor& keys,
                 const Tensor& values, const AttentionOptions& options, const Sight& sight) {
  const int64_t width = queries.size(-1),
                head = options.head_width > 0 ? options.head_width : width / options.heads;
  const int64_t key_heads = options.key_heads > 0 ? options.key_heads : options.heads;
  const auto project = [&](const char* name, const Tensor& x, int64_t heads) {
    return reshape_to(linear(scope / name, x, heads * head, options.bias),
                      {x.size(0), x.size(1), heads, head});
  };
  const Tensor q = turned(project("query", queries, options.heads), options),
               k = turned(project("key", keys, key_heads), options),
               v = project("value", values, key_heads);
  const ops::AttentionOptions seen = {.causal = options.causal,
                                      .scale = options.scale,
                                      .window = options.window,
                                      .soft_cap = options.soft_cap};
  const Tensor y = sight.padding ? attend_to_unpadded(q, k, v, seen, sight.padding)
                                 : attend(q, k, v, seen, sight.segments);
  return linear(scope / "output",
                reshape_to(y, {queries.size(0), queries.size(1), options.heads * head}), width,
                options.output_bias);
}

Tensor self_attention(const Scope& scope, const Tensor& x, const AttentionOptions& options,
                      const Sight& sight) {
  return attention(scope, x, x, x, options, sight);
}

Tensor relu(const Tensor& x) { return apply(ops::relu, {x}); }
Tensor gelu(const Tensor& x) { return apply(ops::gelu, {x}); }
Tensor gelu_tanh(const Tensor& x) { return apply(ops::gelu_tanh, {x}); }
Tensor silu(const Tensor& x) { return apply(ops::silu, {x}); }

Tensor mlp(const Scope& scope, const Tensor& x, int64_t hidden, Activation activation, bool bias) {
  return linear(scope / "down", activation(linear(scope / "up", x, hidden, bias)), x.size(-1),
                bias);
}

Tensor transformer_block(const Scope& scope, const Tensor& x, const AttentionOptions& options,
                         int64_t hidden, float dropped) {
  const Tensor attended =
      self_attention(scope / "attention", layer_norm(scope / "norm1", x), options);
  const Tensor y = x + dropout(scope, attended, dropped);
  const Tensor hidden_layer =
      mlp(scope / "mlp", layer_norm(scope / "norm2", y), hidden, gelu, options.bias);
  return y + dropout(scope, hidden_layer, dropped);
}

Tensor residual_block(const Scope& scope, const Tensor& x, int64_t channels, int64_t stride,
                      const std::function<Tensor(const Scope&, const Tensor&)>& norm) {
  const ConvolutionOptions first = {.stride = {stride, stride}, .padding = {1, 1, 1, 1}},
                           second = {.padding = {1, 1, 1, 1}};
  Tensor y =
      relu(norm(scope / "norm1", convolution(scope / "conv1", x, channels, 3, first, false)));
  y = norm(scope / "norm2", convolution(scope / "conv2", y, channels, 3, second, false));
  Tensor shortcut = x;
  if (stride != 1 || x.size(-1) != channels)
    shortcut = norm(scope / "shortcut_norm", convolution(scope / "shortcut", x, channels, 1,
                                                         {.stride = {stride, stride}}, false));
  return relu(y + shortcut);
}

Tensor mean_squared_error(const Tensor& prediction, const Tensor& target) {
  const Tensor difference = prediction - target;
  return reduce_mean(difference * difference);
}

Tensor huber(const Tensor& error, float limit) {
  const Tensor size = apply(ops::abs, {error});
  return where(apply(less, {size, constant_like(size, limit)}), size * size,
               size * (2 * limit) - limit * limit);
}

Tensor smooth_l1(const Tensor& prediction, const Tensor& target, float beta) {
  const Tensor size = apply(ops::abs, {prediction - target});
  if (beta <= 0) return reduce_mean(size);
  const Tensor near = apply(less, {size, constant_like(size, beta)});
  return reduce_mean(where(near, size * size * (0.5f / beta), size - 0.5f * beta));
}

Tensor mean_cross_entropy(const Tensor& logits, const Tensor& labels) {
  const Tensor losses = logits.graph().add(cross_entropy, std::vector{logits, labels})[0];
  const Tensor counted =
      cast_to(apply(greater_equal, {labels, constant_like(labels, 0)}), DType::f32);
  return reduce_sum(losses) / apply(maximum, {reduce_sum(counted), constant_like(losses, 1)});
}

}  // namespace argosy::nn
