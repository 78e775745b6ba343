#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace argosy::data {

/// Which episodes train a model and which only measure it. Episodes stay whole: neighbouring frames
/// look alike, so frames of one episode on both sides would measure memory.
struct Split {
  std::vector<int64_t> training, held_out;  ///< episode indices, rising
  int64_t training_frames = 0, held_out_frames = 0;
  std::vector<std::string> notes;  ///< sentences for people, e.g. on recordings too short
};

/// Of each source (recording), its last episodes are held out: as many as come nearest to
/// `holdout_share` of its frames, at least one and never all. A source of one episode only trains;
/// a note says so. A share of 0 holds out nothing. A pure function of its arguments.
///
/// holdout_share  in [0, 1)
Split split_episodes(std::span<const Episode> episodes, double holdout_share);

}  // namespace argosy::data
