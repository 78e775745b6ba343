#include "compile/pipeline.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "ir/op.h"

namespace argosy {

std::span<const Pass> passes() {
  // The order is the design: what is known is computed, what is the same is shared, what is unread
  // is dropped, what is left of pointwise work is grouped, and state takes its value early.
  static const Pass all[] = {
      {"fold-constants", fold_constants}, {"simplify", simplify},
      {"share-common", share_common},     {"remove-dead", remove_dead},
      {"fuse-pointwise", fuse_pointwise}, {"update-early", update_early},
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
    const bool changed = pass.run(graph);
    times.push_back(
        {pass.name, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
         changed});
    if (options.verify) verify(graph);
  }
  return times;
}

}  // namespace argosy
