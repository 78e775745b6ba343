#include "compile/differentiate.h"

#include <map>

#include "base/error.h"
#include "ops/ops.h"

namespace argosy {
namespace {

/// The nodes that depend on one of `from`.
std::vector<bool> depends_on(const Graph& graph, std::span<const Tensor> from, size_t nodes) {
  std::vector<bool> marked(nodes, false);
  for (const Tensor& t : from) marked[static_cast<size_t>(t.value().node)] = true;
  for (size_t i = 0; i < nodes; ++i)
    for (const Value& input : graph.nodes()[i].inputs)
      if (marked[static_cast<size_t>(input.node)]) marked[i] = true;
  return marked;
}

Tensor zeros(Graph& graph, const Type& type) {
  return ops::broadcast_shape(graph.constant(0, type.dtype), type.shape);
}

}  // namespace

std::vector<Tensor> gradients(const Tensor& loss, std::span<const Tensor> variables) {
  Graph& graph = loss.graph();
  check(loss.elements() == 1, "the loss has {} elements", loss.elements());
  const size_t nodes = graph.nodes().size();
  const std::vector<bool> needed = depends_on(graph, variables, nodes);
  std::map<Value, Tensor> grads;
  grads[loss.value()] = ops::broadcast_shape(graph.constant(1, loss.dtype()), loss.shape());

  const std::string label = graph.label;
  for (int32_t i = loss.value().node; i >= 0; --i) {
    if (!needed[static_cast<size_t>(i)]) continue;
    const OpDef& op = *graph.node(i).op;
    if (&op == &kInput || &op == &kVariable) continue;
    std::vector<Tensor> output_grads;
    bool any = false;
    for (size_t o = 0; o < graph.node(i).outputs.size(); ++o) {
      const auto found = grads.find({i, static_cast<int32_t>(o)});
      output_grads.push_back(found == grads.end() ? Tensor() : found->second);
      any |= found != grads.end();
    }
    if (!any || !is_floating(graph.node(i).outputs[0].dtype)) continue;
    const size_t open = output_grads.size() - static_cast<size_t>(op.kept_for_gradient);
    for (size_t o = open; o < output_grads.size(); ++o)
      if (output_grads[o])
        throw Error(
            {.what = fmt::format("output {} of op {} has no gradient", o, op.name),
             .where = graph.node(i).label.empty() ? "model" : "model, " + graph.node(i).label,
             .fix = "keep it out of what the loss depends on"});
    if (!op.gradient)
      throw Error({.what = fmt::format("op {} has no gradient", op.name),
                   .where = graph.node(i).label.empty() ? "model" : "model, " + graph.node(i).label,
                   .fix = "keep it out of what the loss depends on"});
    graph.label = graph.node(i).label.empty() ? "" : graph.node(i).label + "'";
    // the rule reads output 0's gradient; where only another output counts, that of 0 is zero
    if (!output_grads[0]) output_grads[0] = zeros(graph, graph.node(i).outputs[0]);
    const std::vector<Tensor> input_grads = op.gradient(GradArgs(graph, i, output_grads));
    const std::vector<Value> inputs = graph.node(i).inputs;
    check(input_grads.size() == inputs.size(), "{} gives {} gradients for {} operands", op.name,
          input_grads.size(), inputs.size());
    for (size_t k = 0; k < inputs.size(); ++k) {
      if (!input_grads[k] || !needed[static_cast<size_t>(inputs[k].node)]) continue;
      check(input_grads[k].type() == graph.type(inputs[k]),
            "{}: the gradient of operand {} is {}, the operand {}", op.name, k,
            input_grads[k].type(), graph.type(inputs[k]));
      Tensor& total = grads[inputs[k]];
      total = total ? total + input_grads[k] : input_grads[k];
    }
  }
  graph.label = label;

  std::vector<Tensor> result;
  for (const Tensor& variable : variables) {
    const auto found = grads.find(variable.value());
    result.push_back(found == grads.end() ? zeros(graph, variable.type()) : found->second);
  }
  return result;
}

}  // namespace argosy
