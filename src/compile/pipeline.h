#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

/// Passes: free functions from graph to "did it change anything".
namespace argosy {

bool fold_constants(Graph& graph);
bool simplify(Graph& graph);
bool share_common(Graph& graph);
bool remove_dead(Graph& graph);
bool fuse_pointwise(Graph& graph);
bool update_early(Graph& graph);

struct Pass {
  std::string_view name;
  bool (*run)(Graph&);
};

/// All passes, in order.
std::span<const Pass> passes();

struct PassOptions {
  std::vector<std::string> off;  ///< names of passes left out
  bool verify = false;           ///< check the graph after each pass (always in tests)
};

struct PassTime {
  std::string_view name;
  double seconds;
  bool changed;
};

/// Runs the pipeline. Throws Error for an unknown name in options.off.
std::vector<PassTime> run_passes(Graph& graph, const PassOptions& options = {});

}  // namespace argosy
