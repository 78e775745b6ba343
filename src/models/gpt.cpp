#include "models/gpt.h"

#include "base/check.h"
#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

namespace {

/// The rows of `table` for the places of the tokens, to be added to theirs.
Tensor places(const Tensor& table, const Tensor& tokens, const Sequences& sequences) {
  if (!sequences.continued()) return ops::slice_axis(table, 0, 0, tokens.size(1));
  const Tensor first = ops::constant_like(sequences.positions, 0);  // where there is no token
  return ops::apply(ops::gather, {table, ops::apply(ops::maximum, {sequences.positions, first})});
}

}  // namespace

LanguageOutput gpt(const Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                   const Sequences& sequences) {
  check(sequences.continued() || tokens.size(1) <= options.context, "tokens {}, the context is {}",
        tokens.type(), options.context);
  const int64_t width = options.width;
  const Weight table =
      (scope / "embedding").weight("weight", options.vocabulary, width, normal(0.02f));
  const Tensor positions =
      (scope / "positions").parameter("weight", {options.context, width}, normal(0.02f), true);
  const auto norm = [&](const Scope& at, const Tensor& x) {
    return layer_norm(at, x, options.epsilon, false);
  };
  const AttentionOptions heads = {
      .heads = options.heads, .causal = true, .bias = false, .output_bias = false};
  Tensor x = rows_of(table, tokens) + places(positions, tokens, sequences);
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    const Scope block = scope / fmt::format("block{}", layer);
    x = x + self_attention(block / "attention", norm(block / "norm1", x), heads, sequences);
    x = x + mlp(block / "mlp", norm(block / "norm2", x), options.hidden, gelu, false);
  }
  const Tensor last = norm(scope / "norm", answering_rows(x, sequences));
  return {.logits = multiply(last, table), .balance_loss = {}};
}

}  // namespace argosy::models
