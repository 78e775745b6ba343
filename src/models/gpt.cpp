#include "models/gpt.h"

#include "base/check.h"
#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

Tensor gpt(const Scope& scope, const Tensor& tokens, const GptOptions& options) {
  const int64_t batch = tokens.size(0), time = tokens.size(1), width = options.width;
  check(time <= options.context, "{} tokens, the context is {}", time, options.context);
  const Tensor table =
      (scope / "embedding").parameter("weight", {options.vocabulary, width}, normal(0.02f), true);
  const Tensor positions =
      (scope / "positions").parameter("weight", {options.context, width}, normal(0.02f), true);
  Tensor x = ops::apply(ops::gather, {table, tokens}) +
             (time < options.context ? ops::slice_axis(positions, 0, 0, time) : positions);
  for (int64_t layer = 0; layer < options.layers; ++layer)
    x = transformer_block(scope / fmt::format("block{}", layer), x,
                          {.heads = options.heads, .causal = true, .bias = false}, 4 * width);
  x = ops::reshape_to(layer_norm(scope / "norm", x), {batch * time, width});
  return ops::matrix_multiply(x, table, false, true);
}

}  // namespace argosy::models
