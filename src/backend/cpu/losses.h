#pragma once
#include <cstdint>
#include <span>

/// The cross-entropy of one row of n logits; a negative label has the loss 0.
namespace argosy::cpu {

void check_labels(std::span<const int32_t> labels, int64_t classes);
void loss_of_row(const float* logits, int32_t label, int64_t n, float& loss, float& log_sum_exp);
/// `gradient` may be where the logits are.
void gradient_of_row(const float* logits, int32_t label, float log_sum_exp, float dloss, int64_t n,
                     float* gradient);

}  // namespace argosy::cpu
