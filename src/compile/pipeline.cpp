#include "compile/pipeline.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "ir/op.h"

namespace argosy {
namespace {

/// A pass that needs no options.
template <bool (*pass)(Graph&)>
bool plain(Graph& graph, const PassOptions&) {
  return pass(graph);
}

}  // namespace

std::span<const Pass> passes() {
  // The order is the design: what is known is computed, what is the same is shared, what is unread
  // is dropped, logits are taken apart, what is left of pointwise work is grouped, and what then
  // crosses memory may be made narrower. Then come the order of nodes and what is computed twice:
  // the passes before would undo both.
  static const Pass all[] = {
      {"fold-constants", plain<fold_constants>},
      {"simplify", plain<simplify>},
      {"share-common", plain<share_common>},
      {"remove-dead", plain<remove_dead>},
      {"chunk-logits", plain<chunk_logits>},
      {"fuse-pointwise", plain<fuse_pointwise>},
      {"mixed-precision", mixed_precision},
      {"update-early", plain<update_early>},
      {"run-late", plain<run_late>},
      {"recompute", recompute},
  };
  return all;
}

std::vector<PassTime> run_passes(Graph& graph, const PassOptions& options) {
  for (const std::string& name : options.off)
    if (std::none_of(passes().begin(), passes().end(),
                     [&](const Pass& pass) { return pass.name == name; })) {
      std::vector<std::string_view> known;
      for (const Pass& pass : passes()) known.push_back(pass.name);
      throw Error({.what = fmt::format("no pass is named {}", name),
                   .where = "compile",
                   .fix = fmt::format("choose from {}", fmt::join(known, ", "))});
    }
  std::vector<PassTime> times;
  for (const Pass& pass : passes()) {
    if (std::find(options.off.begin(), options.off.end(), pass.name) != options.off.end()) continue;
    const auto start = std::chrono::steady_clock::now();
    const bool changed = pass.run(graph, options);
    times.push_back(
        {pass.name, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
         changed});
    if (options.verify) verify(graph);
  }
  return times;
}

}  // namespace argosy
