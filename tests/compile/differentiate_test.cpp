#include "compile/differentiate.h"

#include <doctest/doctest.h>

#include "base/error.h"
#include "engine/session.h"
#include "ops/ops.h"

using namespace argosy;

namespace {

Session with_input(Graph graph, const std::vector<float>& x) {
  Session session(std::move(graph));
  std::ranges::copy(x, session.input("x").as().begin());
  session.run();
  return session;
}

}  // namespace

TEST_CASE("gradients: derivatives of derivatives, x^4 and sin") {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {3}});
  const Tensor y = ops::reduce_sum(x * x * x * x + ops::apply(ops::sin, {x}));
  const Tensor first = gradients(y, std::vector{x})[0];
  const Tensor second = gradients(ops::reduce_sum(first), std::vector{x})[0];
  const Tensor third = gradients(ops::reduce_sum(second), std::vector{x})[0];
  graph.output("1", first), graph.output("2", second), graph.output("3", third);
  const std::vector<float> at = {-1.5f, 0.25f, 2};
  const Session session = with_input(std::move(graph), at);
  for (size_t i = 0; i < 3; ++i) {
    const double v = at[i];
    CHECK(session.output("1").as()[i] == doctest::Approx(4 * v * v * v + std::cos(v)));
    CHECK(session.output("2").as()[i] == doctest::Approx(12 * v * v - std::sin(v)));
    CHECK(session.output("3").as()[i] == doctest::Approx(24 * v - std::cos(v)));
  }
}

TEST_CASE("gradients: through matrix products twice, d2/dA2 of |A b|^2") {
  Graph graph;
  const Tensor a = graph.input("x", {DType::f32, {1, 2}}),
               b = graph.constant({DType::f32, {2, 1}}, [] {
                 const float values[] = {3, -2};
                 const auto* bytes = reinterpret_cast<const std::byte*>(values);
                 return std::vector<std::byte>(bytes, bytes + sizeof values);
               }());
  const Tensor y = ops::reduce_sum(ops::apply(ops::square, {ops::matrix_multiply(a, b)}));
  const Tensor first = gradients(y, std::vector{a})[0];
  const Tensor second = gradients(ops::slice_axis(first, 1, 0, 1), std::vector{a})[0];
  graph.output("2", second);
  const Session session = with_input(std::move(graph), {1, 1});
  CHECK(session.output("2").as()[0] == 18);
  CHECK(session.output("2").as()[1] == -12);
}

TEST_CASE("gradients: of a variable that the loss does not depend on are zeros of its shape") {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {2}}),
               unused = graph.variable({.name = "v"}, {DType::f32, {3, 2}});
  const Tensor grad = gradients(ops::reduce_sum(x), std::vector{unused})[0];
  CHECK(grad.type() == unused.type());
  graph.output("g", grad);
  const Session session = with_input(std::move(graph), {1, 2});
  for (const float g : session.output("g").as()) CHECK(g == 0);
}

TEST_CASE("gradients: of the loss itself and of a value on the way") {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {2}}), middle = x * 3.0f;
  const Tensor loss = ops::reduce_sum(middle * middle + middle);
  const auto grads = gradients(loss, std::vector{loss, middle, x});
  graph.output("loss", grads[0]), graph.output("middle", grads[1]), graph.output("gx", grads[2]);
  const Session session = with_input(std::move(graph), {1, -2});
  CHECK(session.output("loss").as()[0] == 1);
  CHECK(session.output("middle").as()[1] == -11);
  CHECK(session.output("gx").as()[1] == -33);
}

TEST_CASE("gradients: an op without one on the way is refused by name and place") {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {2, 3}}), one = graph.constant(1);
  graph.label = "head";
  const Tensor scale = ops::broadcast_shape(one, {3}), shift = ops::broadcast_shape(one, {3});
  const auto normed = graph.add(ops::layer_norm, std::vector{x, scale, shift}, {{"epsilon", 1e-5}});
  CHECK_THROWS_WITH_AS(
      gradients(ops::reduce_sum(normed[1]), std::vector{x}),
      "model, head: output 1 of op layer_norm has no gradient; keep it out of what "
      "the loss depends on",
      Error);
  const Tensor grad = gradients(ops::reduce_sum(normed[0]), std::vector{x})[0];
  CHECK_THROWS_AS(gradients(ops::reduce_sum(grad), std::vector{x}), Error);
}

TEST_CASE("gradients: whole numbers and flags stop them") {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {3}});
  const Tensor whole = ops::cast_to(ops::cast_to(x, DType::i32), DType::f32);
  const Tensor flag = ops::cast_to(ops::apply(ops::greater, {x, graph.constant(0)}), DType::f32);
  graph.output("g", gradients(ops::reduce_sum(whole + flag * x), std::vector{x})[0]);
  const Session session = with_input(std::move(graph), {-1, 2, 3});
  CHECK(session.output("g").as()[0] == 0);
  CHECK(session.output("g").as()[1] == 1);
}
