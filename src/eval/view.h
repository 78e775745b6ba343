#pragma once
#include <atomic>
#include <functional>

#include "base/files.h"
#include "data/dataset.h"
#include "eval/episodes_page.h"

namespace argosy::eval {

struct ViewOptions {
  std::vector<int64_t> episodes;     ///< indices
  std::vector<std::string> columns;  ///< names of data/frame_columns.h to draw; empty: those that
                                     ///< the policy gives, then actions, then others, 12 at most
  Path run;                          ///< a training run whose outputs stand beside; empty: none
  std::string checkpoint = "last";   ///< of the run: "last", "best" or a step
  int64_t film_bytes = int64_t{48} << 20;  ///< of all films together; the rest has none
  int film_height = 240;                   ///< pixels at most
  Path work;                               ///< a folder for films on their way
  std::function<void(int64_t frames, int64_t total)> progress;
  const std::atomic<bool>* stop = nullptr;  ///< once true, the page ends with what it has
};

/// What a page shows of some episodes: columns, predictions, and films made small (H.264).
/// throws Error: no such episode or column; no run, or one for other data
ShownEpisodes view_episodes(const data::Dataset& dataset, const ViewOptions& options);

}  // namespace argosy::eval
