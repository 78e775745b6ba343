#include "nn/sequences.h"

#include <cmath>

#include "nn/initializers.h"
#include "nn/rotary.h"

namespace argosy::nn {

using namespace ops;

namespace {

/// Attention of tokens [N, D] to what the pages hold of their sequences.
Tensor paged_self_attention(const Scope& scope, const Tensor& x, const AttentionOptions& options,
                            const Sequences& s) {
  Graph& graph = x.graph();
  const int64_t count = x.size(0), width = x.size(1),
                head = options.head_width > 0 ? options.head_width : width / options.heads,
                key_heads = options.key_heads > 0 ? options.key_heads : options.heads;
  check(options.causal && !options.output_bias,
        "continued sequences: causal attention without a bias of what comes out");
  const auto weight = [&](const char* name, int64_t out, int64_t in) {
    return (scope / name).weight("weight", out, in, fan_in_uniform(in));
  };
  const Weight weights[] = {weight("query", options.heads * head, width),
                            weight("key", key_heads * head, width),
                            weight("value", key_heads * head, width)};
  graph.label = scope.path();
  const std::vector<Tensor> projected = multiply_each(x, weights);
  const auto heads_of = [&](size_t i, const char* name, int64_t heads) {
    Tensor y = projected[i];
    if (options.bias)
      y = y + (scope / name).parameter("bias", {heads * head}, fan_in_uniform(width), false);
    return reshape_to(y, {1, count, heads, head});
  };
  const auto rows = [&](const Tensor& y) { return reshape_to(y, {count, y.size(2), head}); };
  const Tensor q = rows(turned(heads_of(0, "query", options.heads), options, s.positions)),
               k = rows(turned(heads_of(1, "key", key_heads), options, s.positions)),
               v = rows(heads_of(2, "value", key_heads));
  const Tensor keys =
      scope.memory("keys", {s.page_dtype, {s.page_count, key_heads, head, s.page_size}});
  const Tensor values =
      scope.memory("values", {s.page_dtype, {s.page_count, key_heads, s.page_size, head}});
  const std::vector<Tensor> written =
      graph.add(cache_write, std::vector{keys, values, k, v, s.positions, s.rows, s.pages});
  graph.update(keys, written[0]);
  graph.update(values, written[1]);
  const double scale =
      options.scale == 0 ? 1 / std::sqrt(static_cast<double>(head)) : options.scale;
  const Tensor y = graph.add_one(
      paged_attention, std::vector{q, written[0], written[1], s.positions, s.rows, s.pages},
      {{"causal", true},
       {"scale", scale},
       {"window", options.window},
       {"soft_cap", options.soft_cap}});
  return multiply(reshape_to(y, {count, options.heads * head}),
                  weight("output", width, options.heads * head));
}

}  // namespace

Tensor self_attention(const Scope& scope, const Tensor& x, const AttentionOptions& options,
                      const Sequences& sequences) {
  if (sequences.continued()) return paged_self_attention(scope, x, options, sequences);
  return self_attention(scope, x, options,
                        Sight{.segments = sequences.segments, .padding = sequences.padding});
}

Tensor answering_rows(const Tensor& x, const Sequences& sequences) {
  const Tensor rows = reshape_to(x, {-1, x.size(-1)});
  return sequences.answers ? apply(gather, {rows, sequences.answers}) : rows;
}

}  // namespace argosy::nn
