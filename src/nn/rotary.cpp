#include "nn/rotary.h"

#include <cstring>

namespace argosy::nn {

using namespace ops;

namespace {

/// cos and sin of each place's angles [T, K]; empty where the op has them by itself.
Tensor angles(Graph& graph, const AttentionOptions& options, const Tensor& positions, int64_t times,
              int64_t width) {
  const std::vector<float>& divisors = options.rotary_divisors;
  if (!positions && divisors.empty()) return {};
  const Attributes attributes = {{"base", options.rotary_base}, {"width", width}};
  const Tensor places = positions ? positions : range(graph, times);
  if (divisors.empty()) return apply(rotary_angles, {places}, attributes);
  const Type type = {DType::f32, {std::ssize(divisors)}};
  std::vector<std::byte> bytes(type.bytes());
  std::memcpy(bytes.data(), divisors.data(), bytes.size());
  return apply(rotary_angles, {places, graph.constant(type, std::move(bytes))}, attributes);
}

}  // namespace

Tensor turned(const Tensor& x, const AttentionOptions& options, const Tensor& positions) {
  if (options.rotary_base == 0) return x;
  const Attributes attributes = {{"base", options.rotary_base}, {"inverse", false}};
  const Tensor given = angles(x.graph(), options, positions, x.size(1), x.size(3));
  return given ? apply(rotary, {x, given}, attributes) : apply(rotary, {x}, attributes);
}

}  // namespace argosy::nn
