#pragma once
#include <span>
#include <string>

#include "eval/closed_loop_metrics.h"
#include "world/simulation.h"

namespace argosy::eval {

/// A drive that is shown: it is driven again by its recorded controls, which gives the same drive.
struct Filmed {
  world::SimulationOptions world;
  const DriveTrace* drive = nullptr;
  std::string title = {};  ///< plain ASCII
};

/// Drives side by side as an mp4: above from behind the car, below what its camera sees. It begins
/// `from_s` into the drives and ends at `to_s`; a drive that is over stands still.
///
/// returns  the file's bytes
/// throws   Error: no OpenGL, no room for the film while it is made
std::string film(std::span<const Filmed> drives, double from_s, double to_s);

}  // namespace argosy::eval
