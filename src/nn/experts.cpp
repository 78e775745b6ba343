#include "nn/experts.h"

#include <cstring>

#include "nn/initializers.h"

namespace argosy::nn {

using namespace ops;

namespace {

/// i32 [n]: 0, 0, ..., 1, 1, ..., each number `times` times.
Tensor repeated_range(Graph& graph, int64_t n, int64_t times) {
  std::vector<int32_t> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<int32_t>(static_cast<int64_t>(i) / times);
  std::vector<std::byte> bytes(values.size() * sizeof(int32_t));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return graph.constant({DType::i32, {n}}, std::move(bytes));
}

/// The choices, sorted by expert. A choice is a number below N * active: those of token 0, then
/// those of token 1, ...
struct Order {
  Tensor choices;  ///< i32, by expert and among one expert's by token; dropped ones last, or gone
  Tensor counts;   ///< i32 [experts]: how many of them each expert takes
};

/// experts: i32 [choices]
Order order_choices(const Tensor& experts, const Tensor& chosen, int64_t capacity) {
  Graph& graph = experts.graph();
  const int64_t n = experts.elements(), count = chosen.elements();
  // small whole numbers are exact as f32, which is what sort takes
  const Ordered by_expert = sorted(cast_to(experts, DType::f32));
  if (capacity <= 0) return {by_expert.indices, chosen};
  // a choice's place among those of its expert, which stand in the order of tokens
  const Tensor sizes = cast_to(chosen, DType::f32), ends = running_sum(sizes);
  const Tensor place = range(graph, n, DType::f32) -
                       apply(gather, {ends - sizes, cast_to(by_expert.values, DType::i32)});
  const auto limit = static_cast<float>(capacity);
  const Tensor kept_by = where(apply(less, {place, graph.constant(limit)}), by_expert.values,
                               graph.constant(static_cast<float>(count)));
  const Tensor order = apply(gather, {by_expert.indices, sorted(kept_by).indices});
  return {slice_axis(order, 0, 0, std::min(n, count * capacity)),
          cast_to(apply(minimum, {sizes, graph.constant(limit)}), DType::i32)};
}

}  // namespace

Mixture mixture_of_experts(const Scope& scope, const Tensor& x, const ExpertOptions& options) {
  Graph& graph = x.graph();
  const int64_t tokens = x.size(0), width = x.size(1), count = options.experts,
                choices = tokens * options.active;
  check(x.rank() == 2 && options.active >= 1 && options.active <= count && options.hidden >= 1,
        "{} of {} experts of width {} for tokens {}", options.active, count, options.hidden,
        x.type());
  check(choices < int64_t{1} << 24, "{} choices are more than f32 counts", choices);

  const std::string label = graph.label;
  // in f32 always: a rounded router sends tokens to other experts
  const Tensor logits = kept_wide(
      graph, [&] { return linear(scope / "router", cast_to(x, DType::f32), count, false); });
  graph.label = label;  // what follows is not the router
  const Tensor probabilities = apply(softmax, {logits});
  const Ordered best = largest(probabilities, options.active);
  const Tensor gates =
      options.renormalise ? best.values / reduce_sum(best.values, {-1}, true) : best.values;
  const Tensor experts = reshape_to(best.indices, {choices});
  const Tensor chosen = counts_of(experts, count);
  const Order order = order_choices(experts, chosen, options.capacity);

  const auto weight = [&](const char* name, int64_t in, int64_t out) {
    return scope.weights(name, count, out, in, fan_in_uniform(in));
  };
  const Weight inner[] = {weight("gate", width, options.hidden),
                          weight("value", width, options.hidden)};
  const Weight output = weight("output", options.hidden, width);
  const Tensor token =
      apply(gather, {repeated_range(graph, choices, options.active), order.choices});
  const std::vector<Tensor> gated = multiply_groups(apply(gather, {x, token}), inner, order.counts);
  const Tensor inside = options.activation(gated[0]) * gated[1];
  const Tensor gate = apply(gather, {reshape_to(gates, {choices}), order.choices});
  // in f32 always, as Grok-1's release has it: what is rounded here turns later routers
  const Tensor given =
      kept_wide(graph, [&] { return multiply_groups(inside, {&output, 1}, order.counts)[0]; });
  const Tensor scaled = given * cast_to(reshape_to(gate, {token.elements(), 1}), x.dtype());

  const float share = 1.0f / static_cast<float>(std::max<int64_t>(1, choices));
  const auto total = [](const Tensor& counts) { return reduce_sum(cast_to(counts, DType::f32)); };
  return {
      .output = apply(scatter_add, {scaled, token}, {{"rows", tokens}}),
      .balance_loss = reduce_sum(cast_to(chosen, DType::f32) * reduce_mean(probabilities, {0})) *
                      (share * static_cast<float>(count) * options.balance_loss),
      .probabilities = probabilities,
      .chosen = chosen,
      .dropped_share = (total(chosen) - total(order.counts)) * share};
}

}  // namespace argosy::nn
