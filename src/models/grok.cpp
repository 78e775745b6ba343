#include "models/grok.h"

#include "nn/experts.h"
#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

namespace {

Tensor grok_attention(const Scope& scope, const Tensor& x, const GrokOptions& options) {
  const auto project = [&](const char* name, int64_t heads) {
    return ops::reshape_to(linear(scope / name, x, heads * options.head_width, false),
                           {x.size(0), x.size(1), heads, options.head_width});
  };
  const auto turned = [&](const Tensor& heads) {
    return ops::apply(ops::rotary, {heads}, {{"base", options.rotary_base}, {"inverse", false}});
  };
  const Tensor y = ops::attend(
      turned(project("query", options.heads)), turned(project("key", options.key_heads)),
      project("value", options.key_heads), {.causal = true, .soft_cap = options.soft_cap});
  return linear(scope / "output",
                ops::reshape_to(y, {x.size(0), x.size(1), options.heads * options.head_width}),
                options.width, false);
}

}  // namespace

GrokOutput grok(const Scope& scope, const Tensor& tokens, const GrokOptions& options) {
  const int64_t count = tokens.elements(), width = options.width;
  const Tensor table =
      (scope / "embedding").parameter("weight", {options.vocabulary, width}, normal(0.02f), true);
  const auto norm = [&](const Scope& at, const Tensor& x) {
    return rms_norm(at, x, options.epsilon);
  };
  Tensor x =
      ops::apply(ops::gather, {table, tokens}) * static_cast<float>(options.embedding_multiplier);
  Tensor balance;
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    const Scope block = scope / fmt::format("block{}", layer);
    x = x + norm(block / "norm2",
                 grok_attention(block / "attention", norm(block / "norm1", x), options));
    const Mixture mixture = mixture_of_experts(
        block / "experts", ops::reshape_to(norm(block / "norm3", x), {count, width}),
        {.experts = options.experts, .active = options.active, .hidden = options.hidden});
    x = x + norm(block / "norm4", ops::reshape_to(mixture.output, x.shape()));
    balance = balance ? balance + mixture.balance_loss : mixture.balance_loss;
  }
  const Tensor last = ops::reshape_to(norm(scope / "norm", x), {count, width});
  return {.logits = ops::matrix_multiply(last, table, false, true) *
                    static_cast<float>(options.output_multiplier),
          .balance_loss = balance / static_cast<float>(options.layers)};
}

}  // namespace argosy::models
