#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compile/liveness.h"
#include "ir/graph.h"

/// Passes: free functions from graph to "did it change anything".
namespace argosy {

struct PassOptions;

bool fold_constants(Graph& graph);
bool simplify(Graph& graph);
bool share_common(Graph& graph);
bool remove_dead(Graph& graph);
bool chunk_logits(Graph& graph);
bool fuse_pointwise(Graph& graph);
bool mixed_precision(Graph& graph, const PassOptions& options);
bool update_early(Graph& graph);
bool run_late(Graph& graph);
bool recompute(Graph& graph, const PassOptions& options);

/// What the program may take.
struct MemoryLimit {
  size_t bytes = 0;       ///< Program::total_bytes() at most; 0: no limit
  WorkspaceOf workspace;  ///< what kernels will ask for; empty: nothing
};

struct Pass {
  std::string_view name;
  bool (*run)(Graph&, const PassOptions&);
};

/// All passes, in order.
std::span<const Pass> passes();

struct PassOptions {
  bool bf16 = false;  ///< compute in bf16 what the op table allows
  MemoryLimit memory;
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
