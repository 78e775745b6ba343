#include <doctest/doctest.h>

#include "base/error.h"
#include "base/threads.h"
#include "engine/session.h"
#include "graphs.h"

using namespace argosy;
using namespace argosy::test;

namespace {

constexpr uint64_t kGraphs = 300;

std::string compiled_bytes(const Graph& graph, const std::vector<std::string>& off, uint64_t seed) {
  Session session(graph, {.passes = {.off = off, .verify = true}});
  feed(session, seed);
  return bytes_after_runs(session, 2);
}

std::vector<std::string> all_passes() {
  std::vector<std::string> names;
  for (const Pass& pass : passes()) names.emplace_back(pass.name);
  return names;
}

}  // namespace

TEST_CASE("passes: together and each alone they keep every value bit for bit") {
  set_thread_count(1);
  for (uint64_t seed = 0; seed < kGraphs; ++seed) {
    const Graph graph = RandomGraph(seed, 30).take();
    INFO(fmt::format("seed {}", seed));
    verify(graph);
    const std::string plain = compiled_bytes(graph, all_passes(), seed);
    CHECK((compiled_bytes(graph, {}, seed) == plain));
    for (const std::string& only : all_passes()) {
      std::vector<std::string> off = all_passes();
      std::erase(off, only);
      INFO(only);
      CHECK((compiled_bytes(graph, off, seed) == plain));
    }
    const std::string without = all_passes()[seed % all_passes().size()];
    CHECK((compiled_bytes(graph, {without}, seed) == plain));
  }
}

TEST_CASE("passes: an uncompiled graph computes what its references compute") {
  for (uint64_t seed = 0; seed < 60; seed += 2) {
    const Graph graph = RandomGraph(seed, 20).take();
    Session session(graph, {});
    feed(session, seed);
    std::map<std::string, Array> fed;
    for (const NamedBuffer& input : session.program().inputs) {
      Array& array = fed.emplace(input.name, session.input(input.name).type).first->second;
      std::ranges::copy(session.input(input.name).bytes, array.bytes.begin());
    }
    for (const TensorView& view : session.state()) {
      Array& array = fed.emplace(view.name, view.type).first->second;
      std::ranges::copy(view.bytes, array.bytes.begin());
    }
    const auto known = interpret(graph, fed);
    session.run();
    for (const Port& port : graph.outputs()) {
      INFO(fmt::format("seed {}, {}", seed, port.name));
      Array got(graph.type(port.value));
      std::ranges::copy(session.output(port.name).bytes, got.bytes.begin());
      // overflowing towers of exponentials tell nothing
      if (!(typical_size(known.at(port.value)) < 1e4)) continue;
      bool finite = true;
      for (const float x : known.at(port.value).as())
        finite &= std::isfinite(x) && std::fabs(x) < 1e4;
      if (finite) CHECK(difference(got, known.at(port.value), 2e-3) == "");
    }
  }
}

TEST_CASE("passes: after fusing no two neighbours of one shape could still be one sweep") {
  // y = tanh(a * b + c) is one call
  Graph graph;
  const Type type = {DType::f32, {8, 16}};
  const Tensor a = graph.input("a", type), b = graph.input("b", {DType::f32, {16}}),
               c = graph.input("c", type);
  graph.output("y", ops::apply(ops::tanh, {a * b + c}));
  CHECK(Session(graph).program().calls.size() == 1);
}

TEST_CASE("passes: chains that meet become one sweep, unless something between them is none") {
  const Type type = {DType::f32, {8, 16}};
  {
    Graph graph;
    const Tensor x = graph.input("x", type);
    const Tensor left = ops::apply(ops::exp, {x * x}), right = ops::apply(ops::tanh, {x + 1.0f});
    graph.output("y", left * right);
    CHECK(Session(graph).program().calls.size() == 1);
  }
  {
    Graph graph;  // the second chain begins behind a sum that needs the whole of the first
    const Tensor x = graph.input("x", type), left = ops::apply(ops::exp, {x});
    const Tensor right = ops::apply(ops::tanh, {x * ops::reduce_sum(left, {1}, true)});
    graph.output("y", left * right);
    CHECK(Session(graph, {.passes = {.verify = true}}).program().calls.size() == 3);
  }
}

TEST_CASE("passes: an unknown name is refused with the names there are") {
  Graph graph;
  CHECK_THROWS_WITH_AS(
      run_passes(graph, {.off = {"fuse"}}),
      "compile: no pass is named fuse; choose from fold-constants, simplify, "
      "share-common, remove-dead, chunk-logits, fuse-pointwise, mixed-precision, update-early, "
      "run-late, recompute",
      Error);
}

TEST_CASE("passes: equal work is done once and unread work not at all") {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {4, 4}});
  const Tensor first = ops::apply(ops::softmax, {x}), second = ops::apply(ops::softmax, {x});
  ops::matrix_multiply(x, x);
  graph.output("y", first + second);
  CHECK(Session(graph).program().calls.size() == 2);
}

TEST_CASE("passes: what only constants feed is computed when compiled") {
  Graph graph;
  const Tensor two = graph.constant(2) * 3.0f - 4.0f;
  graph.output("y", graph.input("x", {DType::f32, {3}}) * two);
  run_passes(graph, {.off = {"fuse-pointwise"}, .verify = true});
  CHECK(graph.nodes().size() == 3);
  double value = 0;
  CHECK(splat_value(graph.node(0).op == &kConstant ? graph.node(0) : graph.node(1), value));
  CHECK(value == 2);
}
