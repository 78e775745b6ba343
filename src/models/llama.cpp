#include "models/llama.h"

#include "nn/initializers.h"

namespace argosy::models {

using namespace nn;

namespace {

/// down(silu(gate(x)) * up(x))
Tensor gated_network(const Scope& scope, const Tensor& x, int64_t hidden) {
  const int64_t width = x.size(-1);
  const Weight inner[] = {
      (scope / "gate").weight("weight", hidden, width, normal(0.02f)),
      (scope / "up").weight("weight", hidden, width, normal(0.02f)),
  };
  const std::vector<Tensor> gated = multiply_each(x, inner);
  return multiply(silu(gated[0]) * gated[1],
                  (scope / "down").weight("weight", width, hidden, normal(0.02f)));
}

LanguageOutput family(const Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                      const Sequences& sequences, const AttentionOptions& heads) {
  const Weight table =
      (scope / "embedding").weight("weight", options.vocabulary, options.width, normal(0.02f));
  const auto norm = [&](const Scope& at, const Tensor& x) {
    return rms_norm(at, x, options.epsilon);
  };
  Tensor x = rows_of(table, tokens);
  if (options.embedding_multiplier != 1) x = x * static_cast<float>(options.embedding_multiplier);
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    const Scope block = scope / fmt::format("block{}", layer);
    x = x + self_attention(block / "attention", norm(block / "norm1", x), heads, sequences);
    x = x + gated_network(block / "mlp", norm(block / "norm2", x), options.hidden);
  }
  Tensor last = norm(scope / "norm", answering_rows(x, sequences));
  if (options.output_multiplier != 1) last = last * static_cast<float>(options.output_multiplier);
  const Weight output =
      options.tied
          ? table
          : (scope / "output").weight("weight", options.vocabulary, options.width, normal(0.02f));
  return {.logits = multiply(last, output), .balance_loss = {}};
}

}  // namespace

LanguageOutput llama(const Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                     const Sequences& sequences) {
  return family(scope, tokens, options, sequences, attention_options(options));
}

LanguageOutput qwen2(const Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                     const Sequences& sequences) {
  AttentionOptions heads = attention_options(options);
  heads.bias = true;
  return family(scope, tokens, options, sequences, heads);
}

}  // namespace argosy::models
