#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "world/car.h"
#include "world/track.h"

namespace argosy::world {

using Colour = std::array<float, 3>;

/// A solid that stands at the side, only to be seen (and bumped into).
struct Clutter {
  enum class Shape { box, cylinder, ball } shape = Shape::box;
  Point position;
  double turn_rad = 0, half_size_m = 0.1, half_height_m = 0.1;
  Colour colour{};
};

/// A floor's picture: patches, grain, and the joints of tiles or planks.
struct FloorPattern {
  Colour colour{};
  float patches = 0, grain = 0;  ///< how much they change the colour
  int tiles = 0;                 ///< per metre; 0 for none
  float joint = 0;               ///< how dark their joints are
  uint64_t seed = 0;
};

/// Where the camera sits on the car, and what it does to colours.
struct CameraMount {
  double forward_m = 0.08, left_m = 0, height_m = 0.14;
  double down_rad = 0.25, yaw_rad = 0, roll_rad = 0;
  double width_rad = 2.1;  ///< horizontal field of view
  Colour gain{1, 1, 1};
  float contrast = 1, brightness = 0, noise = 2;  ///< of 0..255
};

/// Everything about a world that a seed decides and that is not the road itself.
struct Look {
  FloorPattern floor, road;
  bool paved = true;  ///< the road has a floor of its own
  Colour tape{}, dash{};
  double tape_m = 0.04, dash_length_m = 0.2, dash_gap_m = 0.25;
  bool dashes = true;
  bool walls = true;
  double room_m[2] = {7, 6};  ///< half the room
  Colour wall{}, sky{}, horizon{};
  std::vector<Clutter> clutter;
  Colour light{}, ambient{};
  double light_heading_rad = 0, light_height_rad = 1;
  CameraMount camera;
  CarParameters car;  ///< this car's own quirks

  static Look draw(uint64_t seed, const Track& track);
  /// The look of the mirrored world.
  Look mirrored() const;
};

}  // namespace argosy::world
