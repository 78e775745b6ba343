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
  const int64_t rows = kind == Kind::few_rows ? 100 : 2200, width = 6, classes = 40;
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

Session session_of(const Graph& graph, const std::vector<std::string>& off, bool bf16 = false) {
  Session session(graph, {.passes = {.bf16 = bf16, .off = off, .verify = true}});
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
  for (const bool bf16 : {false, true}) {
    const Session whole = session_of(graph, {"chunk-logits"}, bf16),
                  chunked = session_of(graph, {}, bf16);
    CHECK_FALSE(is_chunked(whole));
    CHECK(is_chunked(chunked));
    CHECK(chunked.program().arena_bytes < 0.8 * static_cast<double>(whole.program().arena_bytes));
    for (const char* name : {"loss", "dgain", "dtable"}) {
      INFO(name, bf16 ? " in bf16" : "");
      const auto wanted = whole.output(name).as(), got = chunked.output(name).as();
      // gradients of logits are rounded to bf16 in both, 1 part in 256, and most of it averages out
      for (size_t i = 0; i < wanted.size(); ++i)
        CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(bf16 ? 2e-3 : 1e-4).scale(0.01));
    }
  }
}

TEST_CASE("chunk-logits: in bf16 products read bf16, and the table's gradient is f32") {
  const Session session = session_of(model(Kind::plain), {}, true);
  for (const Call& call : session.program().calls) {
    if (call.op != &ops::projected_cross_entropy) continue;
    const std::vector<Type> in = session.program().types(call.inputs),
                            out = session.program().types(call.outputs);
    CHECK(in[0].dtype == DType::bf16);
    CHECK(in[1].dtype == DType::bf16);
    CHECK(in[3].dtype == DType::f32);
    CHECK(out[2].dtype == DType::bf16);
    CHECK(out[3].dtype == DType::f32);
  }
}

TEST_CASE("chunk-logits: logits that something else reads, or whose loss weights itself, stay") {
  for (const Kind kind : {Kind::weighted_by_itself, Kind::logits_shown, Kind::few_rows}) {
    INFO(static_cast<int>(kind));
    CHECK_FALSE(is_chunked(session_of(model(kind), {})));
  }
}
