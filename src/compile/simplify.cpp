#include "compile/pipeline.h"
#include "ops/ops.h"

namespace argosy {
namespace {

/// The number that operand `i` is everywhere, if it is a constant.
bool is_splat(const Graph& graph, const Node& node, size_t i, double number) {
  double value = 0;
  return splat_value(graph.node(node.inputs[i].node), value) && value == number;
}

/// What `node` is equal to bit for bit, or itself. x * 0 -> 0 is absent (NaN * 0 is NaN) and so is
/// x + 0 -> x (-0 + 0 is +0).
Value equal_to(const Graph& graph, int32_t index) {
  const Node& node = graph.node(index);
  const auto same_type = [&](size_t i) { return graph.type(node.inputs[i]) == node.outputs[0]; };
  const auto source = [&](size_t i) -> const Node& { return graph.node(node.inputs[i].node); };
  if (node.op == &ops::multiply) {
    if (is_splat(graph, node, 1, 1) && same_type(0)) return node.inputs[0];
    if (is_splat(graph, node, 0, 1) && same_type(1)) return node.inputs[1];
  }
  if (node.op == &ops::divide && is_splat(graph, node, 1, 1) && same_type(0)) return node.inputs[0];
  if (node.op == &ops::negate && source(0).op == &ops::negate) return source(0).inputs[0];
  if ((node.op == &ops::reshape || node.op == &ops::cast || node.op == &ops::broadcast_to) &&
      same_type(0))
    return node.inputs[0];
  return {index, 0};
}

}  // namespace

// Before: any legal graph. After: none of the patterns of equal_to is left, and a reshape of a
// reshape reads the first one's operand. A pointwise op that reads a broadcast constant reads the
// constant.
bool simplify(Graph& graph) {
  bool changed = false;
  std::vector<Value> replaced(graph.nodes().size());
  const auto follow = [&](Value& value) {
    if (value.output == 0 && replaced[static_cast<size_t>(value.node)] != Value{value.node, 0}) {
      value = replaced[static_cast<size_t>(value.node)];
      changed = true;
    }
  };
  for (int32_t i = 0; i < static_cast<int32_t>(graph.nodes().size()); ++i) {
    Node& node = graph.nodes()[static_cast<size_t>(i)];
    for (Value& input : node.inputs) follow(input);
    if (node.op == &ops::reshape)
      while (graph.node(node.inputs[0].node).op == &ops::reshape) {
        node.inputs[0] = graph.node(node.inputs[0].node).inputs[0];
        changed = true;
      }
    if (node.op->pointwise.arity > 1)
      for (Value& input : node.inputs) {
        const Node& source = graph.node(input.node);
        if (source.op != &ops::broadcast_to) continue;
        // the broadcast may only be skipped where another operand already has the full shape
        const Value kept = input;
        input = source.inputs[0];
        std::vector<Type> types;
        for (const Value& v : node.inputs) types.push_back(graph.type(v));
        if (node.op->infer({*node.op, types, node.attributes, node.label}) == node.outputs)
          changed = true;
        else
          input = kept;
      }
    replaced[static_cast<size_t>(i)] = equal_to(graph, i);
  }
  graph.visit_roots(follow);
  return changed;
}

}  // namespace argosy
