#pragma once
#include <span>

#include "world/look.h"
#include "world/mujoco.h"
#include "world/simulation.h"

namespace argosy::world {

/// Geoms of this group are the car itself, which its own camera does not see.
inline constexpr int kCarGroup = 1, kWallGroup = 2;  // films from above leave the walls out
inline constexpr double kPhysicsPeriod_s = 0.0025;

/// The world as a MuJoCo model. The car moves by three joints, in this order: x, y, heading;
/// obstacle i is the mocap body i. Only the car touches anything, so any contact is a collision of
/// it.
ModelHolder build_scene(const Track& track, const Look& look, std::span<const Obstacle> obstacles,
                        bool mirrored);

}  // namespace argosy::world
