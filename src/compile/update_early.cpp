#include <algorithm>
#include <map>

#include "compile/pipeline.h"
#include "ir/op.h"

namespace argosy {

// Before: any legal graph. After: a node that gives a variable its next value, and is alone in
// reading the one before, stands as soon as its operands are there. What it adds to the variable
// then needs no memory until the end: gradients that are accumulated go into their sums one by one.
bool update_early(Graph& graph) {
  std::map<Value, int> readers;
  for (const Node& node : graph.nodes())
    for (const Value& input : node.inputs) ++readers[input];
  for (const Port& output : graph.outputs()) ++readers[output.value];

  std::vector<int64_t> priority(graph.nodes().size());
  for (size_t i = 0; i < priority.size(); ++i) {
    const OpDef* op = graph.nodes()[i].op;
    const bool always_there = op == &kInput || op == &kVariable || op == &kConstant;
    priority[i] = always_there ? -1 : 2 * static_cast<int64_t>(i);
  }
  bool changed = false;
  for (const Update& update : graph.updates()) {
    const auto index = static_cast<size_t>(update.value.node);
    const std::vector<Value>& operands = graph.nodes()[index].inputs;
    if (readers[update.variable] != 1 ||
        std::find(operands.begin(), operands.end(), update.variable) == operands.end())
      continue;
    int64_t behind = 0;
    for (const Value& operand : operands)
      behind = std::max(behind, priority[static_cast<size_t>(operand.node)] + 1);
    changed |= behind + 1 < priority[index];
    priority[index] = std::min(priority[index], behind);
  }
  if (changed) sort_nodes(graph, priority);
  return changed;
}

}  // namespace argosy
