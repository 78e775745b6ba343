#include <doctest/doctest.h>

#include <set>

#include "base/error.h"
#include "compile/memory_report.h"
#include "engine/session.h"
#include "graphs.h"

using namespace argosy;
using namespace argosy::test;

namespace {

size_t needed_bytes(const Graph& graph) {
  Program program = lower(graph);
  plan_memory(program);
  return program.total_bytes();
}

std::set<std::string> recomputed_ops(const Graph& graph) {
  std::set<std::string> names;
  for (const Node& node : graph.nodes())
    if (node.recomputed) names.insert(std::string(node.op->name));
  return names;
}

/// Two square values of one size, a cheap and a dear one, are kept while other work needs as much
/// as both of them, and read after it.
Graph two_kept_values() {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {256, 256}});
  const Tensor cheap = ops::apply(ops::softmax, {x}), dear = ops::matrix_multiply(x, x);
  const Tensor wide = ops::broadcast_shape(ops::reduce_sum(cheap * dear), {2, 256, 256});
  const Tensor sum = ops::reduce_sum(ops::swap_last(ops::swap_last(wide)));
  graph.output("y", ops::reduce_sum(ops::matrix_multiply(cheap, dear)) * sum);
  return graph;
}

}  // namespace

TEST_CASE("recompute: without a limit, or with one that is met, the graph stays as it is") {
  Graph graph = two_kept_values();
  const size_t needed = needed_bytes(graph);
  CHECK_FALSE(recompute(graph, {}));
  CHECK_FALSE(recompute(graph, {.memory = {.bytes = needed}}));
  CHECK(needed_bytes(graph) == needed);
}

TEST_CASE("recompute: of two values of one size the cheaper one is computed again") {
  Graph graph = two_kept_values();
  const size_t needed = needed_bytes(graph), saved = 256 * 256 * sizeof(float);
  REQUIRE(recompute(graph, {.memory = {.bytes = needed - saved}}));
  verify(graph);
  CHECK(needed_bytes(graph) <= needed - saved);
  CHECK(recomputed_ops(graph) == std::set<std::string>{"softmax"});
  graph = two_kept_values();
  REQUIRE(recompute(graph, {.memory = {.bytes = needed - 2 * saved}}));
  CHECK(needed_bytes(graph) <= needed - 2 * saved);
  CHECK(recomputed_ops(graph) == std::set<std::string>{"matmul", "softmax"});
}

TEST_CASE("recompute: a kernel's scratch counts") {
  Graph graph = two_kept_values();
  const size_t needed = needed_bytes(graph), scratch = size_t{1} << 20;
  const WorkspaceOf workspace = [&](const Node& node, Types) {
    return node.op == &ops::transpose ? scratch : 0;
  };
  CHECK_FALSE(recompute(graph, {.memory = {.bytes = needed}}));
  CHECK(recompute(graph, {.memory = {.bytes = needed, .workspace = workspace}}));
}

TEST_CASE("recompute: random graphs keep every bit, and the limit where they are not refused") {
  int met = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    INFO(fmt::format("seed {}", seed));
    const Graph graph = RandomGraph(seed, 60).take();
    Session plain(graph);
    feed(plain, seed);
    const std::string wanted = bytes_after_runs(plain, 2);
    const size_t arena = plain.program().arena_bytes;
    for (const double share : {0.9, 0.7, 0.5}) {
      const size_t limit = plain.program().total_bytes() - arena +
                           static_cast<size_t>(share * static_cast<double>(arena));
      try {
        Session small(graph, {.passes = {.memory = {.bytes = limit}, .verify = true}});
        CHECK(small.program().total_bytes() <= limit);
        feed(small, seed);
        CHECK((bytes_after_runs(small, 2) == wanted));
        ++met;
      } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::device);
      }
    }
  }
  CHECK(met > 10);
}
