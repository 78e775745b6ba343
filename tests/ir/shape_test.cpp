#include "ir/shape.h"

#include <doctest/doctest.h>

#include "base/error.h"
#include "ops/ops.h"

using namespace argosy;

namespace {
constexpr int64_t kHuge = int64_t{1} << 40;
}

TEST_CASE("shape: a count beyond 64 bits is an error, not a smaller number") {
  CHECK_THROWS_WITH_AS(count({kHuge, kHuge}),
                       "model: [1099511627776, 1099511627776] has more elements than 64 bits "
                       "count; make the sizes of the model or of its inputs smaller",
                       Error);
  CHECK(count({kHuge, kHuge, 0}) == 0);
  CHECK(count({kHuge, 1 << 20}) == int64_t{1} << 60);
}

TEST_CASE("shape: a tensor that no process can address is an error at the line that builds it") {
  Graph graph;
  CHECK_THROWS_WITH_AS(graph.input("x", {DType::f32, {kHuge, kHuge}}),
                       "model: input: f32[1099511627776, 1099511627776] would have more bytes than "
                       "a process can address, given nothing; change the sizes of the model or of "
                       "its inputs so that they fit",
                       Error);
  graph.label = "decoder";
  const Tensor row = graph.input("row", {DType::u8, {1, kHuge}}),
               column = graph.input("column", {DType::u8, {kHuge, 1}});
  CHECK_THROWS_WITH_AS(ops::apply(ops::maximum, {row, column}),
                       doctest::Contains("model, decoder: maximum: "), Error);
  CHECK_THROWS_AS(ops::broadcast_shape(row, {kHuge, kHuge}), Error);
  CHECK_THROWS_AS(ops::reshape_to(row, {kHuge, kHuge}), Error);
  CHECK_THROWS_AS(ops::pad_axis(row, 1, INT64_MAX, INT64_MAX), Error);
  CHECK_THROWS_AS(ops::range(graph, INT64_MAX), Error);
  std::vector<Tensor> parts(200, row);
  CHECK_THROWS_AS(ops::concatenate(parts, 1), Error);
  // an empty tensor's other sizes count too: kernels multiply some of them
  CHECK_THROWS_AS(graph.input("empty", {DType::u8, {kHuge, kHuge, 0}}), Error);
}
