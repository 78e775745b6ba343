#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/block_format.h"
#include "ir/graph.h"
#include "ir/op.h"

/// The ops: their definitions, and functions that put them into a graph. Pointwise ops broadcast as
/// NumPy does. Images are [N, H, W, C].
namespace argosy::ops {

/// Every op, in the order of the documentation. Adding one: its file, a declaration here, a row
/// there.
std::span<const OpDef* const> all_ops();
const OpDef* find_op(std::string_view name);
/// The text of docs/ops.md.
std::string ops_page();

// Pointwise, one operand.
extern const OpDef negate, exp, log, sqrt, rsqrt, reciprocal, square, abs, sign, floor, sin, cos,
    tanh, sigmoid, erf, relu, gelu, gelu_slope, gelu_tanh, silu, softplus, is_finite, logical_not;
// Pointwise, two or three operands.
extern const OpDef add, subtract, multiply, divide, maximum, minimum, power, greater, greater_equal,
    less, equal, logical_and, logical_or, select;
extern const OpDef cast;
// Reductions.
extern const OpDef sum, max_reduce, argmax, cumulative_sum, sum_of_squares, count_values;
// Movement.
extern const OpDef reshape, transpose, broadcast_to, slice, concat, pad, iota;
// Gathering.
extern const OpDef gather, scatter_add, scatter_last, top_k, sort;
// Linear.
extern const OpDef matmul, grouped_matmul, grouped_matmul_gradient_weight;
extern const OpDef convolution, convolution_gradient_input, convolution_gradient_weight;
extern const OpDef max_pool, max_pool_gradient, average_pool, average_pool_gradient;
// Weights in blocks.
extern const OpDef block_matmul, block_grouped_matmul, block_gather;
// Normalisation, attention, losses.
extern const OpDef softmax, layer_norm, layer_norm_gradient, rms_norm, rms_norm_gradient;
extern const OpDef group_norm, group_norm_gradient;
extern const OpDef attention, attention_gradient, rotary, rotary_angles;
extern const OpDef cache_write, paged_attention;
extern const OpDef cross_entropy, cross_entropy_gradient, projected_cross_entropy;
// Random numbers.
extern const OpDef random_uniform, random_normal;
// Optimizers.
extern const OpDef adamw_update, sgd_update;
// What the compiler makes of a group of pointwise nodes.
extern const OpDef fused_pointwise;

// Shape rules and gradient parts shared by several ops.
std::vector<Type> same_as_first(const InferArgs& args);
/// The dtype of output 0: the attribute "dtype" where a pass has set it, else `natural`.
DType result_dtype(const InferArgs& args, DType natural);
/// `t` summed over what broadcasting repeated, so that it has `shape`.
Tensor sum_to(const Tensor& t, const Shape& shape);
/// The reference of every pointwise op: its scalar meaning, element by element.
void pointwise_reference(KernelArgs& k);

// ---- builders

Tensor apply(const OpDef& op, std::initializer_list<Tensor> inputs, Attributes attributes = {});
/// A constant of the dtype of `like`.
Tensor constant_like(const Tensor& like, float value);

Tensor cast_to(const Tensor& x, DType dtype);
/// What `build` gives, with all nodes that it adds marked: also in a graph that is computed in bf16
/// they read and give f32.
Tensor kept_wide(Graph& graph, const std::function<Tensor()>& build);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
/// Sum, mean or maximum over `axes` (negative count from the end; empty means all).
Tensor reduce_sum(const Tensor& x, std::vector<int64_t> axes = {}, bool keep = false);
Tensor reduce_mean(const Tensor& x, std::vector<int64_t> axes = {}, bool keep = false);
Tensor reduce_max(const Tensor& x, std::vector<int64_t> axes = {}, bool keep = false);
Tensor reshape_to(const Tensor& x, Shape shape);  ///< one size may be -1
Tensor permute(const Tensor& x, std::vector<int64_t> order);
Tensor swap_last(const Tensor& x);  ///< the last two dimensions
Tensor broadcast_shape(const Tensor& x, const Shape& shape);
Tensor slice_axis(const Tensor& x, int64_t axis, int64_t begin, int64_t end);
Tensor concatenate(std::span<const Tensor> parts, int64_t axis);
Tensor pad_axis(const Tensor& x, int64_t axis, int64_t before, int64_t after);  ///< with zeros
Tensor range(Graph& graph, int64_t n, DType dtype = DType::i32);

/// [..., M, K] x [..., K, N] -> [..., M, N]; b may have two dimensions and is then shared. The
/// flags say that an operand is stored with its last two dimensions swapped.
Tensor matrix_multiply(const Tensor& a, const Tensor& b, bool transpose_a = false,
                       bool transpose_b = false);
/// x [N, K] sorted by group, weight [E, K, M], counts i32 [E] (rows of each group, in order) -> y
/// [N, M]: each row by its group's weight, 0 for rows after the last group. With transpose_b the
/// weight is [E, M, K].
Tensor multiply_groups(const Tensor& x, const Tensor& weight, const Tensor& counts,
                       bool transpose_b = false);

/// x [N, K] and weights of `outputs` rows each, in panels of their formats (ir/panels.h) -> [N, M]
/// of each. With counts i32 [E] the rows are sorted by group, as for multiply_groups(), and a
/// weight has a matrix for each group.
std::vector<Tensor> multiply_blocks(const Tensor& x, const std::vector<Tensor>& weights,
                                    const std::vector<BlockFormat>& formats,
                                    const std::vector<int64_t>& outputs, const Tensor& counts = {});

struct ConvolutionOptions {
  std::vector<int64_t> stride = {1, 1},
                       padding = {0, 0, 0, 0};  ///< padding: top, bottom, left, right
  std::vector<int64_t> dilation = {1, 1};
  int64_t groups = 1;
};
/// x [N, H, W, C], weight [O, KH, KW, C / groups] -> [N, OH, OW, O]
Tensor convolve(const Tensor& x, const Tensor& weight, const ConvolutionOptions& options = {});

struct PoolOptions {
  std::vector<int64_t> kernel = {2, 2}, stride = {2, 2};
  std::vector<int64_t> padding = {0, 0, 0, 0};  ///< top, bottom, left, right
};
/// x [N, H, W, C] -> [N, OH, OW, C]; the average counts what lies outside as zeros.
Tensor pool_max(const Tensor& x, const PoolOptions& options = {});
Tensor pool_average(const Tensor& x, const PoolOptions& options = {});

struct AttentionOptions {
  bool causal = false;  ///< a query sees keys up to its own place; the last stands at the last key
  double scale = 0;     ///< 0: 1 / sqrt(D)
  int64_t window = 0;   ///< only with causal: a query sees the last so many of these; 0: all
  double soft_cap = 0;  ///< scores become soft_cap * tanh(score / soft_cap); 0: they stay
};
AttentionOptions attention_options(const Attributes& attributes);
/// q [B, T, H, D], k and v [B, S, G, D], H a multiple of G -> [B, T, H, D]. With segments (i32
/// [B, T]) a query sees keys of its own number only; negative is padding, sees nothing and gives 0.
/// The keys' numbers are key_segments (i32 [B, S]), or segments where there are none (T = S).
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v,
              const AttentionOptions& options = {}, const Tensor& segments = {},
              const Tensor& key_segments = {});

struct Ordered {
  Tensor values, indices;  ///< indices are i32 within the row
};
/// Along the last axis. NaN counts as larger than every number.
Ordered largest(const Tensor& x, int64_t k);
Ordered sorted(const Tensor& x, bool descending = false);
Tensor running_sum(const Tensor& x, bool reverse = false);
/// How many of the whole numbers `x` are 0, 1, ... `size` - 1: i32 [size]
Tensor counts_of(const Tensor& x, int64_t size);

Tensor uniform(Graph& graph, const Shape& shape, const Tensor& seed, int64_t stream);
Tensor normal(Graph& graph, const Shape& shape, const Tensor& seed, int64_t stream);

}  // namespace argosy::ops

namespace argosy {
// Arithmetic on tensors reads as the formula does.
Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);
Tensor operator+(const Tensor& a, float b);
Tensor operator-(const Tensor& a, float b);
Tensor operator*(const Tensor& a, float b);
Tensor operator/(const Tensor& a, float b);
Tensor operator+(float a, const Tensor& b);
Tensor operator-(float a, const Tensor& b);
Tensor operator*(float a, const Tensor& b);
Tensor operator/(float a, const Tensor& b);
Tensor operator-(const Tensor& a);
}  // namespace argosy
