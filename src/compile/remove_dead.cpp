#include "compile/pipeline.h"
#include "ir/op.h"

namespace argosy {

// Before: any legal graph. After: every node but inputs and variables is read by an output, an
// update or another node.
bool remove_dead(Graph& graph) {
  std::vector<bool> keep(graph.nodes().size(), false);
  graph.visit_roots([&](Value& value) { keep[static_cast<size_t>(value.node)] = true; });
  graph.visit_ports([&](Value& value) { keep[static_cast<size_t>(value.node)] = true; });
  bool dead = false;
  for (size_t i = keep.size(); i-- > 0;) {
    if (!keep[i]) {
      dead = true;
      continue;
    }
    for (const Value& input : graph.nodes()[i].inputs) keep[static_cast<size_t>(input.node)] = true;
  }
  if (dead) remove_nodes(graph, keep);
  return dead;
}

}  // namespace argosy
