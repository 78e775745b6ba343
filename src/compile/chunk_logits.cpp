#include <algorithm>

#include "compile/pipeline.h"
#include "compile/readers.h"
#include "ops/ops.h"

namespace argosy {
namespace {

constexpr int64_t kFewRows = 1024;  // logits of fewer rows are not worth taking apart

/// What is computed of one product's logits on the way from rows to gradients.
struct LogitChain {
  int32_t logits, loss;  // matmul, cross_entropy
  int32_t dlogits;       // cross_entropy_gradient
  int32_t dx, dtable;    // matmuls
};

bool is_product(const Node& node, bool transpose_a, bool transpose_b) {
  return node.op == &ops::matmul && node.attributes.get<bool>("transpose_a") == transpose_a &&
         node.attributes.get<bool>("transpose_b") == transpose_b;
}

class Chains {
 public:
  explicit Chains(Graph& graph) : graph_(graph), readers_(readers_of(graph)) {
    graph.visit_roots([&](Value& root) { readers_[static_cast<size_t>(root.node)].push_back(-1); });
  }

  /// Whether `gradient` is that of a cross-entropy whose logits nothing else reads, and both of
  /// their products' gradients are taken.
  bool find(int32_t gradient, LogitChain& chain) const {
    const Node& node = graph_.node(gradient);
    if (node.op != &ops::cross_entropy_gradient) return false;
    const Node& logits = graph_.node(node.inputs[0].node);
    const Node& loss = graph_.node(node.inputs[2].node);
    if (!is_product(logits, false, true) || loss.op != &ops::cross_entropy ||
        loss.inputs[0] != node.inputs[0] || loss.inputs[1] != node.inputs[1] ||
        logits.outputs[0].dtype != DType::f32 || logits.outputs[0].shape.size() != 2 ||
        logits.outputs[0].shape[0] < kFewRows)
      return false;
    chain = {node.inputs[0].node, node.inputs[2].node, gradient, -1, -1};
    if (!read_by(chain.logits, {chain.loss, gradient})) return false;
    for (const int32_t reader : readers_[static_cast<size_t>(gradient)]) {
      if (reader < 0) return false;
      const Node& product = graph_.node(reader);
      if (is_product(product, false, false) && product.inputs[1] == logits.inputs[1])
        chain.dx = reader;
      else if (is_product(product, true, false) && product.inputs[1] == logits.inputs[0])
        chain.dtable = reader;
      else
        return false;
    }
    return chain.dx >= 0 && chain.dtable >= 0 && !depends(node.inputs[3].node, chain.logits);
  }

 private:
  bool read_by(int32_t node, std::vector<int32_t> expected) const {
    std::vector<int32_t> found = readers_[static_cast<size_t>(node)];
    std::sort(found.begin(), found.end());
    std::sort(expected.begin(), expected.end());
    return found == expected;
  }

  bool depends(int32_t node, int32_t on) const {
    std::vector<bool> reached(graph_.nodes().size(), false);
    reached[static_cast<size_t>(on)] = true;
    for (int32_t i = on + 1; i <= node; ++i)
      for (const Value& input : graph_.node(i).inputs)
        if (reached[static_cast<size_t>(input.node)]) reached[static_cast<size_t>(i)] = true;
    return reached[static_cast<size_t>(node)];
  }

  Graph& graph_;
  std::vector<std::vector<int32_t>> readers_;
};

}  // namespace

// Before: any legal graph in which no pointwise ops are grouped. After: logits of many rows that a
// product gives, that a cross-entropy alone reads, and whose gradient goes back through the product
// alone, are no tensor any more: one op takes them some rows at a time. That needs the loss's
// gradient before the loss, so a loss that is weighted by itself stays as it is.
bool chunk_logits(Graph& graph) {
  const Chains chains(graph);
  std::vector<LogitChain> found;
  LogitChain chain{};
  for (int32_t i = 0; i < static_cast<int32_t>(graph.nodes().size()); ++i)
    if (chains.find(i, chain)) found.push_back(chain);
  if (found.empty()) return false;
  std::vector<int64_t> priority(graph.nodes().size());
  for (size_t i = 0; i < priority.size(); ++i) priority[i] = static_cast<int64_t>(i);
  for (const LogitChain& c : found) {
    const Node logits = graph.node(c.logits), gradient = graph.node(c.dlogits);
    Node& node = graph.nodes()[static_cast<size_t>(c.loss)];
    node.op = &ops::projected_cross_entropy;
    node.inputs = {logits.inputs[0], logits.inputs[1], gradient.inputs[1], gradient.inputs[3]};
    node.outputs.push_back(graph.type(logits.inputs[0]));
    node.outputs.push_back(graph.type(logits.inputs[1]));
    const auto follow = [&](Value& value) {
      if (value == Value{c.dx, 0}) value = {c.loss, 2};
      if (value == Value{c.dtable, 0}) value = {c.loss, 3};
    };
    for (Node& reader : graph.nodes())
      for (Value& input : reader.inputs) follow(input);
    graph.visit_roots(follow);
  }
  sort_nodes(graph, priority);
  remove_dead(graph);
  return true;
}

}  // namespace argosy
