#include "nn/layers.h"

#include <doctest/doctest.h>

#include "engine/session.h"
#include "nn/training.h"

using namespace argosy;
using namespace argosy::nn;

TEST_CASE(
    "layers: batch norm moves its running statistics by what it saw, by nothing for nothing") {
  for (const int64_t batch : {0, 4}) {
    Graph graph;
    const Scope scope(graph, true);
    const Tensor x = graph.input("x", {DType::f32, {batch, 3}});
    add_training_step(scope, ops::reduce_sum(batch_norm(scope / "norm", x)), {});
    Session session(std::move(graph));
    std::ranges::fill(session.input("x").as(), 5.0f);
    session.run();
    const bool moved = batch > 0;
    CHECK((session.state("norm/running_mean").as()[0] != 0) == moved);
    CHECK((session.state("norm/running_var").as()[0] != 1) == moved);
  }
}
