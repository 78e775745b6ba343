#include "models/grok.h"

#include "nn/experts.h"
#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

GrokOutput grok(const Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                const Sequences& sequences) {
  check(options.experts > 0, "Grok has experts");
  const int64_t count = tokens.elements(), width = options.width;
  const Weight table =
      (scope / "embedding").weight("weight", options.vocabulary, width, normal(0.02f));
  const auto norm = [&](const Scope& at, const Tensor& x) {
    return rms_norm(at, x, options.epsilon);
  };
  Tensor x = rows_of(table, tokens) * static_cast<float>(options.embedding_multiplier);
  const AttentionOptions heads = attention_options(options);
  GrokOutput output;
  Tensor balance;
  for (int64_t i = 0; i < options.layers; ++i) {
    const Scope block = scope / fmt::format("block{}", i);
    GrokLayer layer;
    layer.attention =
        self_attention(block / "attention", norm(block / "norm1", x), heads, sequences);
    x = x + norm(block / "norm2", layer.attention);
    const Mixture mixture = mixture_of_experts(
        block / "experts", ops::reshape_to(norm(block / "norm3", x), {count, width}),
        {.experts = options.experts,
         .active = options.active,
         .hidden = options.hidden,
         .activation = gelu_tanh});
    layer.experts = ops::reshape_to(mixture.output, x.shape());
    layer.probabilities = mixture.probabilities;
    x = x + norm(block / "norm4", layer.experts);
    layer.hidden = x;
    output.layers.push_back(layer);
    balance = balance ? balance + mixture.balance_loss : mixture.balance_loss;
  }
  const Tensor last = norm(scope / "norm", answering_rows(x, sequences));
  // the rows are scaled and not their logits, which are many more numbers
  const Tensor scaled = last * static_cast<float>(options.output_multiplier);
  const Weight logits =
      options.tied ? table
                   : (scope / "output").weight("weight", options.vocabulary, width, normal(0.02f));
  output.logits = multiply(scaled, logits);
  output.balance_loss = balance / static_cast<float>(options.layers);
  return output;
}

}  // namespace argosy::models
