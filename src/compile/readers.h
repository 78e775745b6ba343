#pragma once
#include <vector>

#include "ir/graph.h"

namespace argosy {

/// By node: the nodes that read one of its outputs, ascending, as often as they do.
inline std::vector<std::vector<int32_t>> readers_of(const Graph& graph) {
  std::vector<std::vector<int32_t>> readers(graph.nodes().size());
  for (int32_t i = 0; i < static_cast<int32_t>(readers.size()); ++i)
    for (const Value& input : graph.node(i).inputs)
      readers[static_cast<size_t>(input.node)].push_back(i);
  return readers;
}

}  // namespace argosy
