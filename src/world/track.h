#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "world/geometry.h"

namespace argosy::world {

enum class Difficulty { easy, moderate, hard };

/// "easy", "moderate" or "hard"; throws Error for anything else, naming `where` it stood.
Difficulty difficulty_named(std::string_view name, std::string_view where);

/// A place on the centre line.
struct Station {
  Point position;
  double heading_rad = 0;      ///< of the line, in driving direction
  double curvature_per_m = 0;  ///< positive where the road bends to the left
  double half_width_m = 0;     ///< from the centre line to either edge
};

/// Where a pose is, as seen from the road.
struct Projection {
  double s_m = 0;                ///< along the centre line, in [0, length_m)
  double lateral_m = 0;          ///< from the centre line, positive to the left
  double heading_error_rad = 0;  ///< heading minus the road's, in (-pi, pi]
};

/// A closed road: a cubic B-spline through the plane (so curvature has no jumps), resampled evenly
/// by length. It does not cross or touch itself and never bends tighter than min_radius_m.
class Track {
 public:
  /// The same seed and difficulty give the same road.
  ///
  /// throws  Error: no road could be made from the seed
  static Track generate(uint64_t seed, Difficulty difficulty);
  /// A ring, for tests and first drives: driven anticlockwise, from (radius_m, 0).
  static Track circle(double radius_m, double half_width_m);
  /// The same road seen in a mirror: left and right change places.
  Track mirrored() const;

  double length_m() const { return spacing_m_ * static_cast<double>(stations_.size()); }
  double min_radius_m() const;
  double spacing_m() const { return spacing_m_; }
  const std::vector<Station>& stations() const { return stations_; }  ///< every spacing_m()
  /// The road at any distance along it; s_m goes round and round.
  Station at(double s_m) const;
  /// The pose `lateral_m` to the left of the centre line, looking along it.
  Pose pose_at(double s_m, double lateral_m = 0) const;
  /// The nearest point of the whole centre line, or of the part within `reach_m` of `near_s_m`, so
  /// that a neighbouring stretch of road is not mistaken for this one.
  Projection project(const Pose& pose) const;
  Projection project(const Pose& pose, double near_s_m, double reach_m) const;
  /// From one place to another along the road, the short way: in [-length/2, length/2].
  double distance_m(double from_s_m, double to_s_m) const;

 private:
  Track(std::vector<Station> stations, double spacing_m);
  Projection project(const Pose& pose, int64_t first, int64_t count) const;

  std::vector<Station> stations_;
  double spacing_m_;
};

}  // namespace argosy::world
