#include <doctest/doctest.h>

#include <cmath>

#include "base/random.h"
#include "engine/session.h"
#include "nn/layers.h"
#include "nn/training.h"

using namespace argosy;
using namespace argosy::nn;

namespace {

constexpr int64_t kTimes = 9, kWidth = 12;
const AttentionOptions kOptions = {.heads = 4,
                                   .key_heads = 2,
                                   .head_width = 6,
                                   .causal = true,
                                   .bias = false,
                                   .output_bias = false,
                                   .scale = 0.3,
                                   .soft_cap = 5,
                                   .rotary_base = 100};

/// Attention of one row of tokens, of which the first `padded` are padding and all from `end` on.
std::vector<float> attend(int64_t times, int64_t padded, int64_t end, bool with_padding) {
  Graph graph;
  const Scope scope(graph, false);
  const Tensor x = graph.input("x", {DType::f32, {1, times, kWidth}});
  Sight sight;
  if (with_padding) sight.padding = graph.input("padding", {DType::boolean, {1, times}});
  graph.output("y", self_attention(scope / "attention", x, kOptions, sight));
  Session session(std::move(graph), {.seed = 3});
  Random random(5);
  for (float& value : session.input("x").as()) value = random.uniform(-1, 1);
  for (int64_t t = 0; with_padding && t < times; ++t)
    session.input("padding").as<uint8_t>()[static_cast<size_t>(t)] = t < padded || t >= end;
  session.run();
  const auto y = session.output("y").as();
  return {y.begin(), y.end()};
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    largest = std::max(largest, std::abs(double{a[i]} - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("attention: padding behind a text changes nothing in the text") {
  const std::vector<float> whole = attend(kTimes, 0, kTimes, false);
  const std::vector<float> none = attend(kTimes, 0, kTimes, true);
  CHECK(largest_difference(whole, none) < 1e-6);
  const std::vector<float> cut = attend(kTimes, 0, 5, true);
  CHECK(largest_difference(std::span(whole).first(5 * kWidth), std::span(cut).first(5 * kWidth)) <
        1e-6);
  // what stands behind sees the text alone
  CHECK(largest_difference(std::span(whole).last(kWidth), std::span(cut).last(kWidth)) > 1e-3);
}

TEST_CASE("attention: a query all of whose keys are padding gets the mean of all values") {
  const std::vector<float> blind = attend(kTimes, 3, kTimes, true);
  const auto row = [&](int64_t t) {
    return std::span(blind).subspan(static_cast<size_t>(t * kWidth), kWidth);
  };
  CHECK(largest_difference(row(0), row(1)) == 0);
  CHECK(largest_difference(row(0), row(2)) == 0);
  CHECK(largest_difference(row(0), row(3)) > 1e-3);
  CHECK(largest_difference(row(0), std::vector<float>(kWidth)) > 1e-3);
}

TEST_CASE("attention: one planned tensor of angles turns queries and keys of all layers") {
  Graph graph;
  const Scope scope(graph, true);
  Tensor x = graph.input("x", {DType::f32, {2, kTimes, kWidth}});
  for (const char* layer : {"first", "second"}) x = self_attention(scope / layer, x, kOptions);
  add_training_step(scope, ops::reduce_sum(x * x), {});
  const Program program = compile(std::move(graph));
  int turns = 0, made = 0;
  for (const Call& call : program.calls) {
    turns += call.op == &ops::rotary;
    if (call.op != &ops::rotary_angles) continue;
    ++made;
    CHECK(program.buffers[static_cast<size_t>(call.outputs[0])].region == Region::arena);
  }
  CHECK(turns == 8);  // of q and k of each layer, and back
  CHECK(made == 1);
}
