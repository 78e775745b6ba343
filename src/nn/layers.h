#pragma once
#include <functional>

#include "nn/scope.h"
#include "ops/ops.h"

/// Layers as plain functions. Images are [N, H, W, C]; parameters carry PyTorch's names. A sequence
/// may be one long and a batch empty: sums and means of nothing are 0, so such a step is finite and
/// its gradients are zeros.
namespace argosy::nn {

/// y = x W^T + b, on the last axis. Parameters: weight [out, in], bias [out].
Tensor linear(const Scope& scope, const Tensor& x, int64_t out, bool bias = true);

/// Parameters: weight [out, kernel, kernel, in / groups], bias [out].
Tensor convolution(const Scope& scope, const Tensor& x, int64_t out, int64_t kernel,
                   const ops::ConvolutionOptions& options = {}, bool bias = true);

/// Over the last axis. Parameters: weight, bias.
Tensor layer_norm(const Scope& scope, const Tensor& x, double epsilon = 1e-5, bool bias = true);
/// y = x / sqrt(mean(x^2) + epsilon) * weight, over the last axis.
Tensor rms_norm(const Scope& scope, const Tensor& x, double epsilon = 1e-6);
/// Each group of channels of each image by itself. Parameters: weight [C], bias [C].
Tensor group_norm(const Scope& scope, const Tensor& x, int64_t groups, double epsilon = 1e-5);
/// Per channel over the batch when training, by running statistics otherwise. Parameters: weight,
/// bias; statistics: running_mean, running_var (unbiased, as PyTorch keeps it).
Tensor batch_norm(const Scope& scope, const Tensor& x, double momentum = 0.1,
                  double epsilon = 1e-5);

/// Zeroes a share of the elements when training and scales the rest.
Tensor dropout(const Scope& scope, const Tensor& x, float share);

/// Parameter: weight [entries, width].
Tensor embedding(const Scope& scope, const Tensor& indices, int64_t entries, int64_t width);

struct AttentionOptions {
  int64_t heads = 1;
  int64_t key_heads = 0;   ///< 0: as many as heads
  int64_t head_width = 0;  ///< 0: the width of x over heads
  bool causal = false;
  bool bias = true;         ///< of queries, keys and values
  bool output_bias = true;  ///< of what comes out
  double scale = 0;         ///< as ops::AttentionOptions says
  int64_t window = 0;       ///< as ops::AttentionOptions says
  double soft_cap = 0;      ///< as ops::AttentionOptions says
  double rotary_base =
      0;  ///< queries and keys turn with their place, see ops::rotary; 0: they do not
  std::vector<float> rotary_divisors;  ///< of the angles, see ops::rotary_angles; empty: all 1
};
/// Which keys a query sees, beside what AttentionOptions say.
struct Sight {
  Tensor segments;  ///< i32 [B, T], T = S: keys of its own number; empty: all
  Tensor padding;   ///< bool [B, S]: keys that nobody sees; a query that then sees none gets the
                    ///< mean of all values; empty: there are none. Not together with segments.
};
/// Queries [B, T, D] attend to keys and values [B, S, D]. Parameters: query, key, value, output
/// (linear each).
Tensor attention(const Scope& scope, const Tensor& queries, const Tensor& keys,
                 const Tensor& values, const AttentionOptions& options, const Sight& sight = {});
/// Attention of x [B, T, D] to itself.
Tensor self_attention(const Scope& scope, const Tensor& x, const AttentionOptions& options,
                      const Sight& sight = {});

using Activation = Tensor (*)(const Tensor&);
Tensor relu(const Tensor& x);
Tensor gelu(const Tensor& x);
Tensor gelu_tanh(const Tensor& x);  ///< the approximation by tanh
Tensor silu(const Tensor& x);

/// linear, activation, linear back to the width of x. Parameters: up, down.
Tensor mlp(const Scope& scope, const Tensor& x, int64_t hidden, Activation activation = gelu,
           bool bias = true);

/// A pre-norm transformer block on [B, T, D]: x + attention(norm(x)), then x + mlp(norm(x)).
Tensor transformer_block(const Scope& scope, const Tensor& x, const AttentionOptions& options,
                         int64_t hidden, float dropped = 0);

/// The two-convolution residual block of ResNet with the norm given, stride on the first.
Tensor residual_block(const Scope& scope, const Tensor& x, int64_t channels, int64_t stride,
                      const std::function<Tensor(const Scope&, const Tensor&)>& norm);

/// Mean of (prediction - target)^2 over all elements.
Tensor mean_squared_error(const Tensor& prediction, const Tensor& target);
/// Of each element: its square up to `limit`, from there on the tangent.
Tensor huber(const Tensor& error, float limit);
/// Mean of smooth L1 (quadratic within `beta`).
Tensor smooth_l1(const Tensor& prediction, const Tensor& target, float beta);
/// Mean cross-entropy over rows of logits [N, V] whose label is not negative.
Tensor mean_cross_entropy(const Tensor& logits, const Tensor& labels);

}  // namespace argosy::nn
