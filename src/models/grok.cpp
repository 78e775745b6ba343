#include "models/grok.h"

#include "nn/experts.h"
#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

GrokOutput grok(const Scope& scope, const Tensor& tokens, const GrokOptions& options) {
  const int64_t count = tokens.elements(), width = options.width;
  const Tensor table =
      (scope / "embedding").parameter("weight", {options.vocabulary, width}, normal(0.02f), true);
  const auto norm = [&](const Scope& at, const Tensor& x) {
    return rms_norm(at, x, options.epsilon);
  };
  Tensor x =
      ops::apply(ops::gather, {table, tokens}) * static_cast<float>(options.embedding_multiplier);
  const nn::AttentionOptions heads = {.heads = options.heads,
                                      .key_heads = options.key_heads,
                                      .head_width = options.head_width,
                                      .causal = true,
                                      .bias = false,
                                      .soft_cap = options.soft_cap,
                                      .rotary_base = options.rotary_base};
  Tensor balance;
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    const Scope block = scope / fmt::format("block{}", layer);
    x = x +
        norm(block / "norm2", self_attention(block / "attention", norm(block / "norm1", x), heads));
    const Mixture mixture = mixture_of_experts(
        block / "experts", ops::reshape_to(norm(block / "norm3", x), {count, width}),
        {.experts = options.experts, .active = options.active, .hidden = options.hidden});
    x = x + norm(block / "norm4", ops::reshape_to(mixture.output, x.shape()));
    balance = balance ? balance + mixture.balance_loss : mixture.balance_loss;
  }
  const Tensor last = ops::reshape_to(norm(scope / "norm", x), {count, width});
  // the rows are scaled and not their logits, which are many more numbers
  const Tensor scaled = last * static_cast<float>(options.output_multiplier);
  return {.logits = ops::matrix_multiply(scaled, table, false, true),
          .balance_loss = balance / static_cast<float>(options.layers)};
}

}  // namespace argosy::models
