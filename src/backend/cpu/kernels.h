#pragma once
#include <optional>

#include "backend/cpu/backend.h"

/// One maker per kernel; each returns nothing for types or sizes it does not take.
namespace argosy::cpu {

/// `fast` says whether all its results are finite. Where not, `direct` computes them again: for
/// ways that take what is not finite to results which never see it.
Kernel if_finite(size_t workspace_bytes, Kernel direct, std::function<bool(KernelArgs&)> fast);

std::optional<Kernel> make_pointwise(const KernelRequest& request);
std::optional<Kernel> make_reduction(const KernelRequest& request);
std::optional<Kernel> make_sum_of_squares(const KernelRequest& request);
std::optional<Kernel> make_max_reduce(const KernelRequest& request);
std::optional<Kernel> make_argmax(const KernelRequest& request);
std::optional<Kernel> make_cumulative_sum(const KernelRequest& request);
std::optional<Kernel> make_count_values(const KernelRequest& request);
std::optional<Kernel> make_matmul(const KernelRequest& request);
std::optional<Kernel> make_matmul_bf16(const KernelRequest& request);
std::optional<Kernel> make_grouped_matmul(const KernelRequest& request);
std::optional<Kernel> make_grouped_matmul_gradient_weight(const KernelRequest& request);
std::optional<Kernel> make_grouped_matmul_bf16(const KernelRequest& request);
std::optional<Kernel> make_grouped_matmul_gradient_weight_bf16(const KernelRequest& request);
std::optional<Kernel> make_convolution_of_one(const KernelRequest& request);
std::optional<Kernel> make_convolution(const KernelRequest& request);
std::optional<Kernel> make_convolution_gradient_input(const KernelRequest& request);
std::optional<Kernel> make_convolution_gradient_weight(const KernelRequest& request);
std::optional<Kernel> make_winograd_convolution(const KernelRequest& request);
std::optional<Kernel> make_winograd_gradient_input(const KernelRequest& request);
std::optional<Kernel> make_winograd_gradient_weight(const KernelRequest& request);
std::optional<Kernel> make_softmax(const KernelRequest& request);
std::optional<Kernel> make_layer_norm(const KernelRequest& request);
std::optional<Kernel> make_layer_norm_gradient(const KernelRequest& request);
std::optional<Kernel> make_group_norm(const KernelRequest& request);
std::optional<Kernel> make_group_norm_gradient(const KernelRequest& request);
std::optional<Kernel> make_adamw(const KernelRequest& request);
std::optional<Kernel> make_transpose(const KernelRequest& request);
std::optional<Kernel> make_broadcast_to(const KernelRequest& request);
std::optional<Kernel> make_slice(const KernelRequest& request);
std::optional<Kernel> make_concat(const KernelRequest& request);
std::optional<Kernel> make_pad(const KernelRequest& request);
std::optional<Kernel> make_top_k(const KernelRequest& request);
std::optional<Kernel> make_sort(const KernelRequest& request);
std::optional<Kernel> make_scatter_last(const KernelRequest& request);
std::optional<Kernel> make_gather(const KernelRequest& request);
std::optional<Kernel> make_scatter_add(const KernelRequest& request);
std::optional<Kernel> make_max_pool(const KernelRequest& request);
std::optional<Kernel> make_max_pool_gradient(const KernelRequest& request);
std::optional<Kernel> make_average_pool(const KernelRequest& request);
std::optional<Kernel> make_average_pool_gradient(const KernelRequest& request);
std::optional<Kernel> make_random_uniform(const KernelRequest& request);
std::optional<Kernel> make_random_normal(const KernelRequest& request);
std::optional<Kernel> make_sgd(const KernelRequest& request);
std::optional<Kernel> make_attention(const KernelRequest& request);
std::optional<Kernel> make_attention_gradient(const KernelRequest& request);
std::optional<Kernel> make_cross_entropy(const KernelRequest& request);
std::optional<Kernel> make_cross_entropy_gradient(const KernelRequest& request);
std::optional<Kernel> make_projected_cross_entropy(const KernelRequest& request);
std::optional<Kernel> make_rms_norm(const KernelRequest& request);
std::optional<Kernel> make_rms_norm_gradient(const KernelRequest& request);
std::optional<Kernel> make_rotary(const KernelRequest& request);
std::optional<Kernel> make_rotary_angles(const KernelRequest& request);
std::optional<Kernel> make_block_matmul(const KernelRequest& request);
std::optional<Kernel> make_block_gather(const KernelRequest& request);
std::optional<Kernel> make_cache_write(const KernelRequest& request);
std::optional<Kernel> make_paged_attention(const KernelRequest& request);

}  // namespace argosy::cpu
