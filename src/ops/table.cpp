#include "ops/ops.h"

namespace argosy::ops {

std::span<const OpDef* const> all_ops() {
  static const OpDef* const ops[] = {
      &negate,
      &exp,
      &log,
      &sqrt,
      &rsqrt,
      &reciprocal,
      &square,
      &abs,
      &sign,
      &floor,
      &sin,
      &cos,
      &tanh,
      &sigmoid,
      &erf,
      &relu,
      &gelu,
      &gelu_tanh,
      &silu,
      &softplus,
      &is_finite,
      &logical_not,
      &add,
      &subtract,
      &multiply,
      &divide,
      &maximum,
      &minimum,
      &power,
      &greater,
      &greater_equal,
      &less,
      &equal,
      &logical_and,
      &logical_or,
      &select,
      &cast,
      &sum,
      &max_reduce,
      &argmax,
      &reshape,
      &transpose,
      &broadcast_to,
      &slice,
      &concat,
      &pad,
      &iota,
      &gather,
      &scatter_add,
      &matmul,
      &convolution,
      &convolution_gradient_input,
      &convolution_gradient_weight,
      &softmax,
      &layer_norm,
      &layer_norm_gradient,
      &attention,
      &attention_gradient,
      &cross_entropy,
      &cross_entropy_gradient,
      &random_uniform,
      &random_normal,
      &adamw_update,
      &sgd_update,
      &fused_pointwise,
  };
  return ops;
}

const OpDef* find_op(std::string_view name) {
  for (const OpDef* op : all_ops())
    if (op->name == name) return op;
  return nullptr;
}

}  // namespace argosy::ops
