#pragma once
#include <atomic>

#include "fleet/mined.h"
#include "run/recipe.h"
#include "world/track.h"

namespace argosy::fleet {

struct MineOptions {
  int64_t round = 1;
  uint64_t seed = 1;       ///< of the roads and looks
  int64_t drives = 20;     ///< of a lap, each on a road of its own
  int64_t created_ms = 0;  ///< Unix time that the recordings begin at
  world::Difficulty difficulty = world::Difficulty::hard;
  std::string camera = "cam/image_array";  ///< the tubs' name of it
  int width = 160, height = 120;
  int obstacles = 0, other_cars = 0;
  int64_t films = 4;
  const std::atomic<bool>* stop = nullptr;
};

/// The policy drives, the expert rides along and says at every state what it would do, and a safety
/// driver helps. The clips around the triggers are written to `folder`, labelled by the expert
/// (DAgger: Ross, Gordon and Bagnell 2011), with what the policy did beside it. The same options
/// give the same bytes on any number of threads. The roads are none that evaluation uses.
///
/// returns  the part of Mined that the world tells; asked to stop, what there is so far
/// throws   Error: no OpenGL, a disk that is full
Mined mine(const Path& folder, const run::Recipe& recipe, const Path& state_file,
           const MineOptions& options);

}  // namespace argosy::fleet
