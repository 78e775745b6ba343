#include <doctest/doctest.h>

#include "compile/pipeline.h"
#include "compile/program.h"
#include "ops/ops.h"

using namespace argosy;

TEST_CASE("run late: a large result is computed after what lets its large operands go") {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {64, 64}});
  const Tensor kept = ops::swap_last(x), small = ops::swap_last(ops::slice_axis(x, 0, 0, 2));
  const Tensor large = ops::matrix_multiply(small, ops::swap_last(small));  // as a layer's dx
  const Tensor weight = ops::reduce_sum(kept);                              // as its dw
  graph.output("weight", weight);
  graph.output("sum", ops::reduce_sum(large));
  const auto live = [](const Graph& of) {
    Program program = lower(of);
    plan_memory(program);
    return program.largest_live_bytes;
  };
  const size_t before = live(graph);
  REQUIRE(run_late(graph));
  verify(graph);
  const size_t one = 64 * 64 * sizeof(float);
  CHECK(before > 2 * one);
  CHECK(live(graph) < before - one / 2);
  CHECK_FALSE(run_late(graph));
}
