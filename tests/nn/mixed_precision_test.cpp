#include <doctest/doctest.h>

#include <cmath>

#include "base/threads.h"
#include "compile/graphs.h"
#include "engine/session.h"
#include "nn/experts.h"
#include "nn/layers.h"
#include "nn/training.h"
#include "ops/optimizer.h"

using namespace argosy;
using namespace argosy::test;

namespace {

/// A training step with a convolution, norms, attention, a residual stream, a table and a product
/// whose result feeds the loss.
Graph small_model() {
  Graph graph;
  const nn::Scope scope(graph, true);
  const Tensor images = graph.input("images", {DType::u8, {4, 8, 8, 3}}),
               tokens = graph.input("tokens", {DType::i32, {4, 16}}),
               target = graph.input("target", {DType::f32, {4, 16, 5}});
  Tensor x = ops::cast_to(images, DType::f32) / 128.0f - 1.0f;
  x = nn::relu(nn::group_norm(
      scope / "norm",
      nn::convolution(scope / "conv", x, 8, 3, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}), 2));
  x = ops::reshape_to(x, {4, 16, 8}) + nn::embedding(scope / "table", tokens, 7, 8);
  x = nn::transformer_block(scope / "block", x, {.heads = 2}, 16, 0);
  nn::add_training_step(scope, nn::mean_squared_error(nn::linear(scope / "head", x, 5), target),
                        {});
  return graph;
}

Graph narrowed(Graph graph) {
  run_passes(graph, {.bf16 = true, .verify = true});
  return graph;
}

int count_casts(const Graph& graph, Value from) {
  int casts = 0;
  for (const Node& node : graph.nodes()) casts += node.op == &ops::cast && node.inputs[0] == from;
  return casts;
}

}  // namespace

TEST_CASE("mixed precision: each op reads and gives what its trait says") {
  const Graph graph = narrowed(small_model());
  int narrow = 0;
  for (const Node& node : graph.nodes()) {
    if (!node.op->infer || node.op->pointwise.arity > 0 || node.op == &ops::cast) continue;
    INFO(node.op->name, " ", node.label);
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      const DType dtype = graph.type(node.inputs[k]).dtype;
      if (!is_floating(dtype)) continue;
      const auto& wide = node.op->wide_operands;
      const bool reads_wide =
          std::find(wide.begin(), wide.end(), static_cast<int>(k)) != wide.end();
      if (node.op->precision == Precision::narrow) CHECK((dtype == DType::bf16) != reads_wide);
      if (node.op->precision == Precision::wide) CHECK(dtype == DType::f32);
    }
    for (const Type& type : node.outputs)
      if (node.op->precision == Precision::wide || node.op->precision == Precision::sums)
        CHECK(type.dtype != DType::bf16);
    narrow += node.op->precision == Precision::narrow;
  }
  CHECK(narrow > 20);
}

TEST_CASE("mixed precision: a node that is kept wide reads and gives f32 beside narrow ones") {
  Graph graph;
  const Type matrix = {DType::f32, {16, 16}};
  const Tensor x = graph.input("x", matrix), w = graph.input("w", matrix);
  const Tensor y = ops::matrix_multiply(x, w);
  graph.output("narrow", ops::matrix_multiply(y, w));
  graph.output("wide", ops::kept_wide(graph, [&] { return ops::matrix_multiply(y, w, true); }));
  const Graph after = narrowed(std::move(graph));
  int wide = 0;
  for (const Node& node : after.nodes()) {
    if (node.op != &ops::matmul) continue;
    const bool kept = node.attributes.get<bool>("transpose_a");
    wide += kept;
    for (const Value& input : node.inputs)
      CHECK(after.type(input).dtype == (kept ? DType::f32 : DType::bf16));
  }
  CHECK(wide == 1);
}

TEST_CASE("mixed precision: a router with an adapter stays in f32, its sum in a group too") {
  Graph graph;
  const nn::Scope scope(graph, true);
  scope.use({.rank = 2, .scale = 0.5f, .of = [](const std::string&) { return true; }});
  const Tensor x = graph.input("x", {DType::f32, {12, 16}});
  const nn::ExpertOptions options = {.experts = 4, .active = 2, .hidden = 8};
  const Tensor narrow = nn::linear(scope / "first", x, 16, false);  // what routers read is bf16
  graph.output("y", nn::linear(scope / "last",
                               nn::mixture_of_experts(scope, narrow, options).output, 16, false));
  const Graph after = narrowed(std::move(graph));
  int products = 0, groups = 0;
  for (const Node& node : after.nodes()) {
    if (!node.label.starts_with("router")) continue;
    products += node.op == &ops::matmul;
    groups += node.op == &ops::fused_pointwise;
    INFO(node.op->name);
    if (node.op == &ops::cast) continue;  // of what came in bf16
    for (const Value& input : node.inputs) CHECK(after.type(input).dtype == DType::f32);
    for (const Type& type : node.outputs) CHECK(type.dtype == DType::f32);
  }
  CHECK(products == 3);
  CHECK(groups == 1);
}

TEST_CASE("mixed precision: inputs, outputs and state keep their dtypes") {
  const Graph before = small_model(), after = narrowed(small_model());
  const auto same = [&](const std::vector<Port>& a, const std::vector<Port>& b) {
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(before.type(a[i].value) == after.type(b[i].value));
  };
  same(before.inputs(), after.inputs());
  same(before.outputs(), after.outputs());
  REQUIRE(before.variables().size() == after.variables().size());
  for (const Variable& variable : after.variables())
    CHECK(after.type(variable.value).dtype == DType::f32);
}

TEST_CASE("mixed precision: a weight is cast once for all its products") {
  const Graph graph = narrowed(small_model());
  for (const Variable& variable : graph.variables()) {
    INFO(variable.name);
    const bool product = variable.name.ends_with("/weight") &&
                         variable.name.find("norm") == std::string::npos &&
                         !variable.name.starts_with("table");
    const bool trained = !variable.name.starts_with("optimizer");
    CHECK(count_casts(graph, variable.value) == (product && trained ? 1 : 0));
  }
}

TEST_CASE("mixed precision: products give the gradients of weights in f32 without a cast") {
  const Graph graph = narrowed(small_model());
  size_t gradients = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op != &ops::adamw_update) continue;
    const ops::OptimizerCall call(ops::adamw_rule, node.inputs.size(), node.attributes);
    for (size_t i = 0; i < call.parameters; ++i, ++gradients) {
      const Node& gradient = graph.node(node.inputs[call.gradient(i)].node);
      INFO(gradient.op->name, " ", gradient.label);
      CHECK(gradient.op != &ops::cast);
    }
  }
  CHECK(gradients > 10);
}

TEST_CASE("mixed precision: nothing goes to bf16 and back, and the residual stream stays f32") {
  const Graph graph = narrowed(small_model());
  for (const Node& node : graph.nodes())
    if (node.op == &ops::cast && node.outputs[0].dtype == DType::f32)
      CHECK(graph.node(node.inputs[0].node).op != &ops::cast);
  for (const Node& node : graph.nodes()) {
    if (node.op != &ops::layer_norm) continue;
    CHECK(graph.type(node.inputs[0]).dtype == DType::f32);
    CHECK(node.outputs[0].dtype == DType::bf16);  // products alone read it
  }
}

TEST_CASE("mixed precision: any graph stays legal, runs, and its outputs keep their dtypes") {
  set_thread_count(1);
  for (uint64_t seed = 0; seed < 150; ++seed) {
    INFO(fmt::format("seed {}", seed));
    const Graph graph = RandomGraph(seed, 30).take();
    Graph narrow = graph;
    run_passes(narrow, {.bf16 = true, .verify = true});
    for (size_t i = 0; i < graph.outputs().size(); ++i)
      CHECK(graph.type(graph.outputs()[i].value) == narrow.type(narrow.outputs()[i].value));
    Session session(graph, {.passes = {.bf16 = true, .verify = true}});
    session.run();
  }
}

TEST_CASE("mixed precision: a network learns as in f32") {
  set_thread_count(1);
  Session wide(small_model()), narrow(small_model(), {.passes = {.bf16 = true, .verify = true}});
  for (Session* session : {&wide, &narrow}) {
    Random random(3, 5);
    for (uint8_t& pixel : session->input("images").as<uint8_t>())
      pixel = static_cast<uint8_t>(random.bits() >> 24);
    for (int32_t& token : session->input("tokens").as<int32_t>())
      token = static_cast<int32_t>(random.below(7));
    for (float& x : session->input("target").as()) x = random.normal();
    session->input("learning_rate").as()[0] = 5e-3f;
  }
  float first = 0;
  for (int step = 0; step < 60; ++step) {
    wide.run(), narrow.run();
    const float a = wide.output("loss").as()[0], b = narrow.output("loss").as()[0];
    if (step == 0) first = a;
    INFO("step ", step);
    CHECK(b == doctest::Approx(a).epsilon(0.03));
  }
  CHECK(narrow.output("loss").as()[0] < 0.6f * first);
}
