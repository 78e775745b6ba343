#include <doctest/doctest.h>

#include <algorithm>

#include "graphs.h"
#include "nn/layers.h"

using namespace argosy;
using namespace argosy::test;

namespace {

enum class Kind { plain, weighted_by_itself, logits_shown, few_rows };

Graph model(Kind kind) {
  Graph graph;
  const int64_t rows = kind == Kind::few_rows ? 100 : 1100, width = 6, classes = 40;
  const Tensor x = graph.input("x", {DType::f32, {rows, width}});
  const Tensor labels = graph.input("labels", {DType::i32, {rows}});
  const Tensor gain = graph.variable({.name = "gain"}, {DType::f32, {width}}),
               table = graph.variable({.name = "table"}, {DType::f32, {classes, width}});
  const Tensor logits = ops::matrix_multiply(x * gain, table, false, true);
  Tensor loss = nn::mean_cross_entropy(logits, labels);
  if (kind == Kind::weighted_by_itself) loss = loss * loss;
  graph.output("loss", loss);
  if (kind == Kind::logits_shown) graph.output("logits", logits);
  const Tensor variables[] = {gain, table};
  const std::vector<Tensor> found = gradients(loss, variables);
  graph.output("dgain", found[0]);
  graph.output("dtable", found[1]);
  return graph;
}

Session session_of(const Graph& graph, const std::vector<std::string>& off) {
  Session session(graph, {.passes = {.off = off, .verify = true}});
  feed(session, 3);
  const auto labels = session.input("labels").as<int32_t>();
  for (size_t i = 0; i < labels.size(); ++i)
    labels[i] = i % 7 == 0 ? -1 : static_cast<int32_t>(i * 11 % 40);
  Random random(4);
  for (const TensorView& variable : session.state())
    for (float& value : variable.as()) value = random.uniform(-1, 1);
  session.run();
  return session;
}

bool is_chunked(const Session& session) {
  return std::ranges::any_of(session.program().calls, [](const Call& call) {
    return call.op == &ops::projected_cross_entropy;
  });
}

}  // namespace

TEST_CASE("chunk-logits: loss and gradients are those of the whole logits, in less memory") {
  const Graph graph = model(Kind::plain);
  const Session whole = session_of(graph, {"chunk-logits"}), chunked = session_of(graph, {});
  CHECK_FALSE(is_chunked(whole));
  CHECK(is_chunked(chunked));
  CHECK(chunked.program().arena_bytes < 0.8 * static_cast<double>(whole.program().arena_bytes));
  for (const char* name : {"loss", "dgain", "dtable"}) {
    INFO(name);
    const auto wanted = whole.output(name).as(), got = chunked.output(name).as();
    for (size_t i = 0; i < wanted.size(); ++i)
      CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(1e-4).scale(0.01));
  }
}

TEST_CASE("chunk-logits: logits that something else reads, or whose loss weights itself, stay") {
  for (const Kind kind : {Kind::weighted_by_itself, Kind::logits_shown, Kind::few_rows}) {
    INFO(static_cast<int>(kind));
    CHECK_FALSE(is_chunked(session_of(model(kind), {})));
  }
}
